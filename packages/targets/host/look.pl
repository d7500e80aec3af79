# Looks at the processes of a host for a target: who listens on a port, and who holds a server's own file open for
# writing. Every name that somebody else chose (paths, programs) is printed in hexadecimal and never parsed: a socket is
# known by its number, a file by device and inode, a descriptor's mode by what the kernel says of it.
#
# Whatever anybody on the host may have as much of as he likes (arguments, descriptors, sockets, processes) is read up to
# a bound, and each user has bounds of his own: a crowd makes its own user slow to look at, and hides nobody else.
#
# Perl without any module but `strict`. The text stands between single quotes of a shell and so holds none.

use strict;

# Opens a file for reading, or a folder. Somebody may have put a pipe in its place since it was looked at: with O_NONBLOCK
# nobody waits for who writes into it.
sub opened {
  sysopen(my $file, $_[0], 04000) or return;
  return $file;
}

sub text {
  my ($name, $most) = @_;
  $most ||= 67108864;
  my $file = opened($name) or return "";
  binmode($file);
  my $text = "";
  while (length($text) < $most) {
    my $left = $most - length($text);
    last unless sysread($file, $text, $left < 65536 ? $left : 65536, length($text));
  }
  return $text;
}

sub names {
  opendir(my $folder, $_[0]) or return;
  return grep { !/\A[.]/ } readdir($folder);
}

sub processes { return sort { $a <=> $b } grep { /\A[0-9]+\z/ } names("/proc") }

sub hex_of { return defined $_[0] && length $_[0] ? unpack("H*", $_[0]) : "-" }

# The fields of a stat from the state on: parent is 1, the start time is 19. A name may hold anything, ") " too.
sub fields {
  my $line = text("/proc/$_[0]/stat");
  return $line =~ /\A.*\) (.*)/s ? split(/ /, $1) : ();
}

# The effective user. The kernel escapes the name of the process in this file.
sub user_of { return text("/proc/$_[0]/status") =~ /^Uid:\s+[0-9]+\s+([0-9]+)/m ? $1 : "-" }

sub inode_of { return (stat($_[0]))[1] || 0 }

# Who lives in a user namespace of his own has rights there that say nothing here.
sub is_ours { return inode_of("/proc/$_[0]/ns/user") == inode_of("/proc/self/ns/user") }

# The container that is looked into: its first process, its id, and no other than its own processes.
my ($first, $id) = (0, "");

# Where a path of a process is for us.
sub seen { return $first ? "/proc/$_[0]/root$_[1]" : $_[1] }

# True where the kernel says that a process is of the container: the last element of its control group is that one.
# crun puts a group of its own beneath.
# Whom a group was delegated to may give one below it any name, but he has the mount namespace of this host.
# containerd knows a container by NAMESPACE/NAME, which may be anything, so there it is the whole path.
sub is_of_container {
  my $space = inode_of("/proc/$_[0]/ns/mnt");
  return 0 if !$space || grep { $space == inode_of("/proc/$_/ns/mnt") } "self", 1;
  my $found = 0;
  for my $row (split(/\n/, text("/proc/$_[0]/cgroup"))) {
    next unless $row =~ m{\A[0-9]+:[^:]*:(/.*)\z};
    my $path = $1;
    $found = 1 if $id =~ m{/} && ($path eq "/$id" || $path eq "/$id/container");
    $path =~ s{/container\z}{};
    $found = 1 if $id !~ m{/} && $path =~ m{/(?:docker-|libpod-|nerdctl-|cri-containerd-|crio-)?\Q$id\E(?:[.]scope)?\z};
  }
  return $found;
}

sub contained { return grep { is_of_container($_) } processes() }

# The number that a process of the container has for us, from the one that it has within.
sub outer_of {
  my ($inner) = @_;
  return $inner unless $first;
  my $space = inode_of("/proc/$first/ns/pid");
  for my $process (contained()) {
    next unless inode_of("/proc/$process/ns/pid") == $space;
    my ($last) = text("/proc/$process/status") =~ /^NSpid:.*?([0-9]+)$/m;
    return $process if defined $last && $last == $inner;
  }
  return 0;
}

# A folder by its real name: what the kernel calls it once it is open.
sub real_name {
  my $folder = opened($_[0]) or return;
  return unless -d $folder;
  return readlink("/proc/self/fd/" . fileno($folder));
}

# The program that a process runs. One that was replaced goes by the name that it had, unless a file is really called so.
sub program_of {
  my $link = readlink("/proc/$_[0]/exe");
  return unless defined $link;
  my @runs = stat("/proc/$_[0]/exe");
  my @named = stat(seen($_[0], $link));
  my $is_there = @runs && @named && $runs[0] == $named[0] && $runs[1] == $named[1];
  $link =~ s/ \(deleted\)\z// unless $is_there;
  return $link;
}

# The most descriptors that are looked at of one process, and the most sockets and servers of one user.
my ($most_descriptors, $most_sockets, $most_servers) = (262144, 128, 64);

# What each user has cost us so far, in seconds of the processor, and the most that one may.
my %cost;
my $most_cost = 2;

sub costs_too_much { return ($cost{$_[0]} || 0) > $most_cost }

sub now { my ($own, $system) = times; return $own + $system }

# The sockets that listen, as [address and port in hexadecimal, number, user], of the tables below this folder.
sub listening {
  my ($net, $wanted) = @_;
  my @found;
  for my $kind ("tcp", "tcp6") {
    open(my $table, "<", "$net/$kind") or next;
    while (my $row = <$table>) {
      my @word = split(" ", $row);
      next unless @word > 9 && $word[3] eq "0A" && $wanted->($word[1]);
      push @found, [$word[1], $word[9], $word[7]];
    }
  }
  return @found;
}

# The sockets that a process has, by their numbers. A path begins with a slash, so none reads like one.
sub sockets_of {
  my ($process) = @_;
  my %held;
  opendir(my $folder, "/proc/$process/fd") or return;
  my $count = 0;
  while (defined(my $descriptor = readdir($folder))) {
    last if ++$count > $most_descriptors;
    my $link = readlink("/proc/$process/fd/$descriptor");
    $held{$1} = 1 if defined $link && $link =~ /\Asocket:\[([0-9]+)\]\z/;
  }
  return %held;
}

sub describe {
  my ($process) = @_;
  my @fields = fields($process) or return;
  my $ours = is_ours($process) ? 1 : 0;
  print join(" ", "process", $process, $fields[19], $fields[1], user_of($process), $ours, hex_of(program_of($process))), "\n";
  return 1;
}

# The files of this name that a process has open for writing. The mode of a descriptor is that of its link; what it leads
# to is compared with what has the name on this host. Who holds the lock on it is the one who opened it.
sub print_files {
  my ($process, $file, @folders) = @_;
  for my $descriptor (names("/proc/$process/fd")) {
    my $at = "/proc/$process/fd/$descriptor";
    my $mode = (lstat($at))[2];
    next unless defined $mode && $mode & 0200;
    my @held = stat($at) or next;
    next unless -f _;
    my $link = readlink($at);
    my $suffix = "/" . $file;
    my $beyond = 0;
    my @places = @folders;
    if (defined $link && substr($link, 0, 1) eq "/" && length($link) > length($suffix) && substr($link, -length($suffix)) eq $suffix) {
      unshift @places, substr($link, 0, length($link) - length($suffix));
      $beyond = 1;
    }
    for my $place (@places) {
      my @there = stat(seen($process, "$place/$file")) or next;
      next unless $there[0] == $held[0] && $there[1] == $held[1];
      my $name = real_name(seen($process, $place)) or next;
      my ($owner) = text("/proc/$process/fdinfo/$descriptor") =~ /^lock:\s+[0-9]+: FLOCK\s+ADVISORY\s+WRITE ([0-9]+) /m;
      print join(" ", "file", $process, hex_of($name), $held[0], $held[1], $held[4], $owner || 0), "\n";
      $beyond = 0;
      last;
    }
    print "beyond $process\n" if $beyond;
  }
}

# True where a socket that listens at this address would answer for one of those that are wanted: at that very address, or
# at all of them. Of a name, and of an address of IPv6, the port alone is compared.
sub answers_for {
  my ($local, $wanted) = @_;
  my ($address, $port) = split(/:/, $local);
  return 0 unless defined $port && $wanted->{$port};
  $address =~ s/\A0000000000000000FFFF0000//;
  return 1 if $address =~ /\A0+\z/;
  return $wanted->{$port}{"*"} || $wanted->{$port}{$address} || 0;
}

# By port and address, from `ADDRESS:PORT` in hexadecimal with bars between.
sub wanted {
  my %wanted;
  for (split(/[|]/, $_[0])) {
    my ($address, $port) = split(/:/);
    $wanted{$port}{$address} = 1;
  }
  return \%wanted;
}

# Words: what to look for, `ADDRESS:PORT` in hexadecimal with bars between, where a star stands for every address; which
# of them to look for in other network namespaces too with blanks between, the file, and folders. Another namespace is looked at only where nobody here listens on such a port, and only
# where it is of our own user namespace: in any other everybody may have whatever address he likes.
sub listeners {
  my ($places, $own, $file, @folders) = @_;
  my ($booted) = text("/proc/stat") =~ /^btime ([0-9]+)/m;
  print "boot ", $booted || 0, "\n";
  my $number = 0;
  for my $folder (@folders) {
    print join(" ", "folder", $number++, hex_of(real_name($folder))), "\n";
  }
  my $wanted = wanted($places);
  my (%sockets, %users, %held, %answered, %many);
  for (listening("/proc/self/net", sub { answers_for($_[0], $wanted) })) {
    my ($local, $inode, $user) = @$_;
    next if ++$many{$user} > $most_sockets;
    ($sockets{$inode}, $users{$user}) = ($user, 1);
    $answered{substr($local, -4)} = 1;
    print "listen $local $inode $user\n";
  }
  my %apart = map { $_ => 1 } grep { !$answered{substr($_, -4)} } split(" ", $own);
  if (%apart) {
    my %seen = (inode_of("/proc/self/ns/net") => 1, 0 => 1);
    for my $process (processes()) {
      next if $seen{inode_of("/proc/$process/ns/net")}++ || !is_ours($process);
      for (listening("/proc/$process/net", sub { $apart{$_[0]} })) {
        my ($local, $inode, $user) = @$_;
        next if exists $sockets{$inode};
        ($sockets{$inode}, $users{$user}) = ($user, 1);
        print "apart $local $inode $user\n";
      }
    }
  }
  return unless %sockets;
  # Who made a socket shares its user. Others are asked only where none of those has it, as where a service manager made
  # it or somebody handed it on: whoever opens a million files makes himself slow to look at, and nobody else.
  for my $others (0, 1) {
    last if $others && !grep { !$held{$_} } keys %sockets;
    for my $process (processes()) {
      my $user = user_of($process);
      next if $others == ($users{$user} || 0) || costs_too_much($user);
      my $before = now();
      my %has = sockets_of($process);
      $cost{$user} += now() - $before;
      my @ours = grep { exists $sockets{$_} } sort keys %has;
      next unless @ours && describe($process);
      for (@ours) {
        $held{$_} = 1 if $process > 1;
        print "holds $process $_\n";
      }
      print_files($process, $file, @folders);
    }
  }
}

# The same of one container, whose processes listen on whatever ports: the word is the file.
sub inside {
  my ($file) = @_;
  my ($booted) = text("/proc/stat") =~ /^btime ([0-9]+)/m;
  print "boot ", $booted || 0, "\n";
  my %told;
  for my $process (contained()) {
    my %has = sockets_of($process);
    my @ours = grep { $has{$_->[1]} } listening("/proc/$process/net", sub { 1 });
    next unless @ours && describe($process);
    for (@ours) {
      my ($local, $inode, $user) = @$_;
      print "listen $local $inode $user\n" unless $told{$inode}++;
      print "holds $process $inode\n";
    }
    print_files($process, $file);
  }
}

# --- PostgreSQL ---

# True where a process listens on this Unix socket. Other rows of the table hold what others named, line ends too, so a
# number counts only where one row alone has it; and the file that its row names must be the file that is meant.
sub listens_there {
  my ($process, $wanted, %held) = @_;
  my @meant = stat($wanted) or return 0;
  my %rows;
  for my $row (split(/\n/, text("/proc/$process/net/unix"))) {
    push @{$rows{$1}}, $row if $row =~ /\A[0-9A-Fa-f]+: (?:[0-9A-F]+ ){5} *([0-9]+)(?: |\z)/ && $held{$1};
  }
  for my $inode (keys %rows) {
    my ($row, $other) = @{$rows{$inode}};
    next if defined $other || $row !~ /\A[0-9A-Fa-f]+: [0-9A-F]+ [0-9A-F]+ 00010000 0001 [0-9A-F]+ +[0-9]+ (\/.*)\z/;
    my @there = stat($1) or next;
    return 1 if $there[0] == $meant[0] && $there[1] == $meant[1];
  }
  return 0;
}

# True where a process has the server side of a connection from this address and port. Of IPv6 the port alone is compared.
sub serves_client {
  my ($process, $client) = @_;
  my ($address, $port) = $client =~ /\A(.*):([0-9]{1,5})\z/ or return 0;
  my $hex = join("", map { sprintf("%02X", $_) } reverse(split(/[.]/, $address)));
  my $suffix = ($address =~ /\A[0-9.]+\z/ ? $hex : "") . sprintf(":%04X", $port);
  my %held = sockets_of($process);
  for my $kind ("tcp", "tcp6") {
    for my $row (split(/\n/, text("/proc/$process/net/$kind"))) {
      my @word = split(" ", $row);
      next unless @word > 9 && $word[3] eq "01" && $held{$word[9]};
      return 1 if substr($word[2], -length($suffix)) eq $suffix;
    }
  }
  return 0;
}

# Words: the data directory, the one that is configured or nothing, the process that serves our connection, where it says
# that our connection comes from, the addresses with their ports in hexadecimal with bars between, and the Unix sockets. postmaster.pid is opened
# once, and what was opened is looked at, not the name. In a container numbers and names are its own, and the port is the
# one that the file tells.
sub postmaster {
  my ($directory, $configured, $backend, $client, $ends, @places) = @_;
  my $name = real_name(seen($first, $directory));
  return unless defined $name;
  my $here = seen($first, $name);
  my @folder = stat($here) or return;
  print join(" ", "directory", hex_of($name), $folder[4], $folder[2] & 07777), "\n";
  print join(" ", "configured", hex_of(real_name(seen($first, $configured)))), "\n" if length $configured;
  my @named = lstat("$here/postmaster.pid") or return;
  return unless -f _;
  my $file = opened("$here/postmaster.pid") or return;
  my @opened = stat($file);
  return unless $opened[0] == $named[0] && $opened[1] == $named[1];
  my $text = "";
  sysread($file, $text, 4096);
  my ($process, $told) = $text =~ /\A([1-9][0-9]{0,9})\n[^\n]*\n[^\n]*\n([0-9]{1,5})\n/ or return;
  $process = outer_of($process);
  print join(" ", "postmaster", $process, $told, $opened[4], $opened[2] & 07777), "\n";
  describe($process) or return;
  my @stands = stat("/proc/$process/cwd");
  print "stands\n" if @stands && $stands[0] == $folder[0] && $stands[1] == $folder[1];
  $backend = outer_of($backend);
  my @served = fields($backend);
  print "backend $served[1]\n" if @served;
  print "client\n" if $first && serves_client($backend, $client);
  my $kind = inode_of("/proc/$process/ns/net") == inode_of("/proc/self/ns/net") ? "listen" : "apart";
  my %held = sockets_of($process);
  my $wanted = wanted($first ? sprintf("*:%04X", $told) : $ends);
  for (listening("/proc/$process/net", sub { answers_for($_[0], $wanted) })) {
    my ($local, $inode, $user) = @$_;
    print "$kind $local $inode $user\n";
    print "holds $process $inode\n" if $held{$inode};
  }
  print "socket\n" if grep { listens_there($process, $_, %held) } @places;
}

# --- What runs here ---

# A small regular file of this very owner, or nothing: what else lies in a data directory is not for us to read.
sub small_file {
  my ($name, $owner) = @_;
  my @named = lstat($name) or return "";
  return "" unless -f _ && $named[4] == $owner && $named[7] <= 65536;
  return text($name);
}

# What a data directory of PostgreSQL says of itself: the identifier of its cluster, whether it is a standby, and the name
# under which it streams. Nothing else of the file with the connection to the primary leaves it: there may be a password.
sub print_database {
  my ($process) = @_;
  my $here = "/proc/$process/cwd";
  my $name = real_name($here);
  return unless defined $name;
  my @folder = stat($here) or return;
  print join(" ", "directory", $process, hex_of($name)), "\n";
  print join(" ", "identifier", $process, unpack("H16", small_file("$here/global/pg_control", $folder[4]))), "\n";
  print "standby $process\n" if -e "$here/standby.signal";
  my $told = small_file("$here/postgresql.auto.conf", $folder[4]);
  my ($called) = $told =~ /^primary_conninfo\s*=.*?\bapplication_name=([^\s\x27]+)/m;
  print join(" ", "streams", $process, hex_of($called)), "\n" if defined $called;
  my ($process_too, $places) = split(/\n/, small_file("$here/postmaster.pid", $folder[4]), 2);
  my (undef, undef, $port, $sockets) = split(/\n/, $places || "");
  my ($socket) = split(/,/, $sockets || "");
  return unless defined $port && $port =~ /\A[0-9]{1,5}\z/;
  print join(" ", "socket", $process, $port, hex_of($socket)), "\n" if defined $socket && $process_too eq $process;
}

# Every server of etcd and PostgreSQL, by the program that it runs, or by its name where our user may not see that: its words,
# where it listens, and what its data directory says. Of PostgreSQL the one process that the others come from.
sub servers {
  my ($booted) = text("/proc/stat") =~ /^btime ([0-9]+)/m;
  print "boot ", $booted || 0, "\n";
  my (%name, %parent);
  for my $process (processes()) {
    my $program = readlink("/proc/$process/exe");
    $program =~ s/ \(deleted\)\z// if defined $program;
    my ($called) = defined $program ? $program =~ m{([^/]+)\z} : text("/proc/$process/stat") =~ /\A[0-9]+ \((etcd|postgres|postmaster)\) /;
    next unless defined $called && $called =~ /\A(?:etcd|postgres|postmaster)\z/;
    $name{$process} = $called eq "etcd" ? "etcd" : "postgres";
    $parent{$process} = (fields($process))[1] || 0;
  }
  my (%many, %listening);
  for my $process (sort { $a <=> $b } keys %name) {
    my $system = $name{$process};
    next if ($name{$parent{$process}} || "") eq $system;
    # Whoever has a user namespace of his own may be as many users there as he likes: all of them together count as one.
    my $owner = is_ours($process) ? user_of($process) : "-";
    if (++$many{$owner} > $most_servers || costs_too_much($owner)) {
      print "crowd $owner\n" unless $many{"crowd $owner"}++;
      next;
    }
    my $before = now();
    print_server($process, $system, \%listening);
    $cost{$owner} += now() - $before;
  }
}

sub print_server {
  my ($process, $system, $listening) = @_;
  print "server $process $system\n";
  describe($process) or return;
  print join(" ", "words", $process, unpack("H*", text("/proc/$process/cmdline", 4096)) || "-"), "\n";
  my $net = inode_of("/proc/$process/ns/net");
  print "apart $process\n" if $net && $net != inode_of("/proc/self/ns/net");
  print "contained $process\n" if text("/proc/$process/cgroup") =~ m{[0-9a-f]{64}};
  my %held = sockets_of($process);
  my $user = user_of($process);
  my $account = is_ours($process) && $user ne "-" ? getpwuid($user) : undef;
  print join(" ", "account", $process, hex_of($account)), "\n";
  # Each network namespace is read once; one of another user namespace holds whatever he likes, and is not read.
  $listening->{$net} ||= [$net && is_ours($process) ? listening("/proc/$process/net", sub { 1 }) : ()];
  # Without a look at its descriptors those of its user stand for it.
  my %told;
  for (@{$listening->{$net}}) {
    my ($local, $inode, $maker) = @$_;
    my $is_its = %held ? $held{$inode} : $maker eq $user && $maker != 0;
    print "at $process $local\n" if $is_its && !$told{$local}++;
    last if keys %told >= $most_sockets;
  }
  print_database($process) if $system eq "postgres";
}

sub answer {
  my ($verb, @words) = @_;
  # Whatever keeps us waiting all the same: then the look ends.
  alarm 10;
  if ($verb eq "in") {
    ($first, $id, $verb) = splice(@words, 0, 3);
    # Its first process is the one whose parent is none of them.
    if ($first eq "0") {
      my %own = map { $_ => 1 } contained();
      ($first) = grep { my @fields = fields($_); @fields && !$own{$fields[1]} } sort { $a <=> $b } keys %own;
      $first = -1 unless defined $first;
    }
    print "container $id ", is_of_container($first) ? 1 : 0, "\n";
  }
  if ($verb eq "listeners") { listeners(@words) }
  if ($verb eq "inside") { inside(@words) }
  if ($verb eq "postmaster") { postmaster(@words) }
  if ($verb eq "servers") { servers() }
  print "whole\n";
}

# Answers one question after another for as long as its input is open: how many words, then each on a line of its own, in
# which \\ stands for a backslash and \n for a line end. Each is answered by a child, so that none finds what another one left.
sub session {
  $| = 1;
  my $end = "-- inquorate --\n";
  print $end;
  while (defined(my $count = <STDIN>)) {
    exit unless $count =~ /\A[0-9]{1,4}\n\z/;
    my @words;
    for (1 .. $count) {
      my $word = <STDIN>;
      exit unless defined $word && $word =~ s/\n\z//;
      $word =~ s/\\(.)/$1 eq "n" ? "\n" : $1/ge;
      push @words, $word;
    }
    my $child = @words ? fork : undef;
    if (defined $child && $child == 0) {
      open(STDIN, "/dev/null");
      $| = 0;
      answer(@words);
      exit;
    }
    waitpid($child, 0) if $child;
    print $end;
  }
}

$ARGV[0] eq "session" ? session() : answer(@ARGV);
