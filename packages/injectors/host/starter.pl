# The starter: a Perl program that starts a killed server again as it was. Before the kill it writes down what makes the
# process this server, and rehearses the start; after the hold it becomes that server.
#
# - What a process says of itself (arguments, environment, names of files) is data: words kept NUL-separated in a file of
#   ours, handed to execve and to nobody else. They are never text of a program and never stand in arguments of ours.
# - The rights are taken first: control groups, limits and priorities by values that the kernel said, then bounding set,
#   groups, user, no_new_privs. Only after that a folder is entered or a file opened, so a name that leads elsewhere
#   leads only where the server itself may go.
# - A log is opened with the access mode that its descriptor had, is never created, and counts only where device and inode
#   are the same after it was opened.
# - What cannot be kept is refused before the kill, and the rehearsal proves the rest: a child takes the same rights,
#   enters the same folder, opens the same files, and looks whether the same words would serve the same data directory.
# - Every number of a call is by the machine that this very Perl was built for; on others it refuses.
#
# Perl without any module but `strict`. The text stands between single quotes of a shell and so holds none.

# inquorate-starter
use strict;

# --- the kernel ---

# For x86_64 (62) and aarch64 (183).
my %calls = (
  openat => [257, 56],
  dup3 => [292, 24],
  close => [3, 57],
  faccessat => [269, 48],
  execve => [59, 221],
  prctl => [157, 167],
  capset => [126, 91],
  setgroups => [116, 159],
  setresgid => [119, 149],
  setresuid => [117, 147],
  prlimit64 => [302, 261],
  sched_getattr => [315, 275],
  sched_setattr => [314, 274],
  sched_getaffinity => [204, 123],
  sched_setaffinity => [203, 122],
  ioprio_get => [252, 31],
  ioprio_set => [251, 30],
  personality => [135, 92],
  keyctl => [250, 219],
);
my $column = machine();
my $no_follow = (0400000, 0100000)[$column || 0];
my ($no_terminal, $non_block, $append, $path_only, $on_exec) = (0400, 04000, 02000, 010000000, 02000000);
# Access mode, appending, non-blocking, and the two kinds of synchronous writing.
my $kept_flags = 03 | $append | $non_block | 04010000;

sub machine {
  open(my $self, "<", "/proc/self/exe") or return;
  read($self, my $head, 20) == 20 or return;
  my ($class, $machine) = unpack("x4 C x13 v", $head);
  return $class == 2 ? { 62 => 0, 183 => 1 }->{$machine} : undef;
}

# What a call writes into stands in the words of whoever calls this.
sub call {
  my $name = shift;
  return syscall($calls{$name}[$column], @_);
}

# --- reading ---

# A process may let its environment begin and end where it likes.
my $most = 8388608;

sub bytes {
  my ($name) = @_;
  open(my $file, "<", $name) or return;
  binmode($file);
  my $text = "";
  while (length($text) <= $most) {
    my $count = sysread($file, $text, 65536, length($text));
    return unless defined $count;
    return $text if $count == 0;
  }
  return;
}

sub text {
  my $text = bytes($_[0]);
  return defined $text ? $text : "";
}

# For people: one line.
sub shown {
  my ($words) = @_;
  $words =~ tr/\x00-\x1f\x7f/?/;
  return length($words) > 300 ? substr($words, 0, 300) . "..." : $words;
}

# The kernel writes a name in it without line ends.
sub status {
  my %status;
  for (split(/\n/, text($_[0]))) {
    $status{$1} = $2 if /^(\w+):\s*(.*?)\s*$/;
  }
  return \%status;
}

sub born {
  my $line = text($_[0]);
  return $line =~ /.*\) (.*)/s ? (split(/ /, $1))[19] : "";
}

sub place {
  my @facts = stat($_[0]);
  return @facts ? "$facts[0].$facts[1]" : "";
}

# --- answers ---

my $told = \*STDOUT;

sub refuse {
  syswrite($told, "no $_[0]\n");
  exit 0;
}

my $advice = "name its unit or a command for it under kill.members";
my $lost = "which a restart would not keep: $advice";

# --- what the process is ---

my %kinds = (mnt => "mount", user => "user", pid => "process", pid_for_children => "process", ipc => "IPC",
  uts => "host name", cgroup => "control group", net => "network", time => "time", time_for_children => "time");

# Every call of `ip netns exec` makes a mount namespace, with the network namespace as the source of /sys: where ours is of
# that kind, one with the same mounts is the same.
sub same_mounts {
  my ($source) = text("/proc/self/mountinfo") =~ m{ / /sys .* - sysfs ([\w.-]+) };
  my $net = defined $source ? place("/run/netns/$source") : "";
  return $net ne "" && $net eq place("/proc/self/ns/net") && mounts("mountinfo") eq mounts("/proc/self/mountinfo");
}

sub mounts {
  my @rows = map { /^\S+ \S+ (\S+) (\S+ \S+ \S+).* - (\S+)(.*)/ ? ($3 =~ /^(?:sysfs|nsfs)\z/ ? "" : $1) . " $2 $3 $4" : $_ } split(/\n/, text($_[0]));
  return join("\n", @rows);
}

# Everything that a start by us would lose or add, in sentences.
sub confinement {
  my ($pid, $status, $mine) = @_;
  my @problems;
  my $name = "process $pid";
  for (sort keys %kinds) {
    my ($theirs, $ours) = (readlink("ns/$_"), readlink("/proc/self/ns/$_"));
    next if !defined $ours || (defined $theirs && $theirs eq $ours);
    next if $_ eq "mnt" && same_mounts();
    push @problems, "$name runs in a namespace of its own ($kinds{$_}), $lost";
  }
  opendir(my $tasks, "task") or return ("the threads of $name cannot be read: $advice");
  for my $task (grep { /^[0-9]+$/ } readdir($tasks)) {
    my $other = status("task/$task/status");
    next unless %$other && $other->{State} !~ /^[ZXx]/;
    for (qw(Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters)) {
      next if $other->{$_} eq $status->{$_};
      push @problems, "threads of $name have different rights ($_), $lost";
      last;
    }
    last if @problems;
  }
  my $root = $status->{Uid} =~ /^0\b/;
  if ($root) {
    for (qw(CapPrm CapEff)) {
      push @problems, "$name is root without some capabilities ($_ $status->{$_}), $lost" if $status->{$_} ne $status->{CapBnd};
    }
  }
  for ($root ? () : qw(CapPrm CapEff), qw(CapInh CapAmb)) {
    push @problems, "$name has capabilities of its own ($_ $status->{$_}), $lost" if $status->{$_} =~ /[^0]/;
  }
  push @problems, "$name may have capabilities that the worker may not (CapBnd $status->{CapBnd}): $advice"
    if hex($status->{CapBnd}) & ~hex($mine->{CapBnd});
  push @problems, "the worker runs with no_new_privs and $name does not: $advice" if $mine->{NoNewPrivs} && !$status->{NoNewPrivs};
  push @problems, "the worker runs with securebits, which $name would have too: $advice" if call("prctl", 27, 0, 0, 0, 0) > 0;
  # A filter is inherited and never removed: the very one of all processes here, such as a container has, is kept.
  my ($theirs, $ours, $all) = map { ($_->{Seccomp} || 0) . "." . ($_->{Seccomp_filters} || 0) } $status, $mine, status("/proc/1/status");
  if ($theirs ne $ours) {
    push @problems, "$name runs with a filter of system calls (seccomp) that is not the one of the worker, $lost";
  } elsif ($theirs ne "0.0" && $theirs ne $all) {
    push @problems, "$name runs with a filter of system calls (seccomp), $lost";
  }
  push @problems, "$name runs with a root directory of its own, $lost" if place("root/.") ne place("/");
  my ($label, $own) = map { my $label = text($_); $label =~ s/[\0\n]+$//; $label } "attr/current", "/proc/self/attr/current";
  push @problems, "$name runs under another security label (" . shown($label) . ") than the worker, $lost" if $label ne $own;
  return @problems;
}

# The descriptors 0 to 2: what kind, and name, place and flags where it can be opened again.
sub descriptor {
  my ($number) = @_;
  my $link = readlink("fd/$number");
  return ("closed") unless defined $link;
  my @facts = stat("fd/$number") or return ("closed");
  my ($flags) = text("fdinfo/$number") =~ /^flags:\s*0*([0-7]+)/m;
  $flags = oct("0" . ($flags || 0));
  return ("null") if -c _ && $facts[6] == 0x103;
  return ("a descriptor without access") if $flags & $path_only;
  my $kind = -f _ ? "file" : -p _ ? ($link =~ m{^/} ? "fifo" : "a pipe") : -S _ ? "a socket" : -c _ ? "a terminal" : "no file";
  return ($kind) unless $kind eq "file" || $kind eq "fifo";
  return ($kind, $link, "$facts[0].$facts[1]", $flags & $kept_flags);
}

# Words of a process; none where what there is does not end in NUL, or is not all that there was room for: of arguments
# without their end mark the kernel shows the first alone. The fields of the stat tell where they begin and end.
sub words {
  my ($name, $field) = @_;
  my $bytes = bytes($name);
  return unless defined $bytes && $bytes =~ /\0\z/;
  my ($begin, $end) = (split(/ /, text("stat") =~ /.*\) (.*)/s ? $1 : ""))[$field - 3, $field - 2];
  return if $end && $end - $begin != length($bytes);
  return [split(/\0/, substr($bytes, 0, -1), -1)];
}

# All that is written down, by name, each a list of words. The folder of the process is entered, so that another process
# of the same number is never read.
sub observe {
  my ($pid, $start, $directory, $how) = @_;
  refuse("the starter knows the machines x86_64 and aarch64 only: $advice") unless defined $column;
  chdir("/proc/$pid") && born("stat") eq $start or refuse("no process $pid is there");
  my $name = "process $pid";
  my $status = status("status");
  my $mine = status("/proc/self/status");
  for (qw(Uid Gid)) {
    my ($one, @others) = split(" ", $status->{$_});
    refuse("$name runs under several users at once: $advice") if grep { $_ ne $one } @others;
  }
  my @problems = confinement($pid, $status, $mine);
  refuse($problems[0]) if @problems && $how eq "itself";
  my $environment = -e "environ" && defined bytes("environ") && text("environ") eq "" ? [] : words("environ", 50);
  refuse("the environment of $name cannot be read, or does not end as an environment does: $advice") unless $environment;
  my %record = (how => [$how], pid => [$pid], directory => [$directory, place($directory)]);
  if ($how eq "itself") {
    my $arguments = words("cmdline", 48);
    refuse("$name has rewritten its arguments, so it cannot be started again by them: $advice") unless $arguments && @$arguments;
    refuse("$name has rewritten its arguments, and its environment with them, so it cannot be started again by them: $advice")
      if grep { length && !/=/ } @$environment;
    my %variables = map { /^([^=]*)=(.*)/s ? ($1, $2) : () } @$environment;
    refuse("$name was handed its sockets by a supervisor (LISTEN_FDS): $advice")
      if defined $variables{LISTEN_FDS} && ($variables{LISTEN_PID} || "") eq $pid;
    $record{arguments} = $arguments;
  } elsif (@problems) {
    # The environment of a server that is confined in ways that its command is not stays behind.
    $environment = [];
  }
  if ($how eq "command") {
    # What was overwritten is none.
    $environment = [grep { /^[^=]+=/ } @$environment];
    push @$environment, "PATH=/usr/local/bin:/usr/bin:/bin" unless grep { /^PATH=/ } @$environment;
  }
  $record{environment} = $environment;
  $record{user} = [(split(" ", $status->{Uid}))[0], (split(" ", $status->{Gid}))[0], split(" ", $status->{Groups})];
  # What root has after exec is its bounding set, so a root that has less has no more than that.
  my $bound = hex($status->{CapBnd});
  $bound &= hex($status->{CapPrm}) if $record{user}[0] == 0;
  $record{rights} = [sprintf("%016x", $bound), $status->{NoNewPrivs} || 0];
  $record{umask} = [$status->{Umask} || "0022"];
  $record{oom} = [text("oom_score_adj") =~ /(-?[0-9]+)/];
  $record{personality} = [hex(text("personality") =~ /([0-9a-f]+)/ ? $1 : "0")];
  my @limits = split(/\n/, text("limits"));
  shift @limits;
  $record{limits} = [map { /^Max .{21} (\S+) +(\S+)/ ? "$1 $2" : refuse("the limits of $name cannot be read") } @limits];
  my $attributes = pack("LLQlLQQQ", 48, 0, 0, 0, 0, 0, 0, 0);
  call("sched_getattr", $pid + 0, $attributes, 48, 0) == 0 or refuse("the priority of $name cannot be read");
  my $mask = "\0" x 1024;
  my $length = call("sched_getaffinity", $pid + 0, 1024, $mask);
  $record{schedule} = [(map { "$_" } (unpack("LLQlLQQQ", $attributes))[1 .. 7]), $length > 0 ? unpack("H*", substr($mask, 0, $length)) : "",
    call("ioprio_get", 1, $pid + 0)];
  $record{groups} = [split(/\n/, text("cgroup"))];
  my $cwd = readlink("cwd");
  refuse("the folder that $name stands in cannot be read") unless defined $cwd;
  $record{folder} = [$cwd, place("cwd/.")];
  my $exe = readlink("exe");
  refuse("the executable of $name cannot be read") unless defined $exe;
  my $replaced = 0;
  if (place($exe) ne place("exe") && $exe =~ s/ \(deleted\)\z//) { $replaced = 1 }
  $record{executable} = [$exe, $replaced ? "" : place("exe")];
  $record{"descriptor$_"} = [descriptor($_)] for 0 .. 2;
  refuse("no process $pid is there") unless born("/proc/$pid/stat") eq $start && born("stat") eq $start;
  refuse("the folder that $name stands in was removed: $advice") if $record{folder}[1] eq "" || (stat("cwd/."))[3] == 0;
  return \%record;
}

# --- the record ---

sub written {
  my ($record) = @_;
  my $bytes = "inquorate-restart\0";
  for my $name (sort keys %$record) {
    my @words = @{$record->{$name}};
    $bytes .= join("\0", $name, scalar(@words), @words) . "\0";
  }
  return $bytes . "end\0";
}

# Only what we wrote ourselves counts, whole.
sub recalled {
  my ($name) = @_;
  my $fd = call("openat", -100, $name, $no_follow, 0);
  die "the record $name cannot be read\n" if $fd < 0;
  open(my $file, "<&=", $fd) or die "the record $name cannot be read\n";
  binmode($file);
  my @facts = stat($file);
  die "the record $name is not ours\n" unless -f _ && $facts[4] == $> && !($facts[2] & 077) && $facts[3] == 1;
  local $/;
  my $bytes = <$file>;
  die "the record $name is not whole\n" unless $bytes =~ /\Ainquorate-restart\0/ && $bytes =~ /\0end\0\z/;
  my @words = split(/\0/, $bytes, -1);
  pop @words;
  shift @words;
  my %record;
  while (@words > 1) {
    my ($key, $count) = splice(@words, 0, 2);
    die "the record $name is not whole\n" unless $count =~ /^[0-9]+$/ && $count < @words;
    $record{$key} = [splice(@words, 0, $count)];
  }
  die "the record $name is not whole\n" unless @words == 1 && $words[0] eq "end";
  return \%record;
}

# --- becoming it ---

# Says what was lost, after the fact; the rehearsal takes none of it for a failure.
my @losses;

sub join_groups {
  my ($record, $really) = @_;
  my %ours = map { $_ => 1 } split(/\n/, text("/proc/self/cgroup"));
  for my $row (@{$record->{groups}}) {
    next if $ours{$row};
    my (undef, $controllers, $path) = split(/:/, $row, 3);
    $controllers =~ s/^name=//;
    my @folders = $controllers eq "" ? ("", "/unified") : ("/$controllers");
    my ($at) = grep { -e } map { "/sys/fs/cgroup$_$path/cgroup.procs" } grep { $path !~ m{(^|/)\.\.(/|$)} } @folders;
    if (!$really) {
      die "the control group " . shown($path) . " of the server cannot be joined, $lost\n" if $> == 0 && !(defined $at && -w $at);
      next;
    }
    my $joined = defined $at && say_to($at, "$$\n");
    push @losses, "the control group " . shown($path) . " could not be joined" unless $joined || $> != 0;
  }
}

sub say_to {
  my ($name, $value) = @_;
  my $fd = call("openat", -100, $name, 1 | $no_follow | $on_exec, 0);
  return 0 if $fd < 0;
  open(my $file, ">&=", $fd) or return 0;
  return syswrite($file, $value);
}

# What the kernel said of it, set while we still may.
sub take_bounds {
  my ($record) = @_;
  say_to("/proc/self/oom_score_adj", $record->{oom}[0]) if text("/proc/self/oom_score_adj") != $record->{oom}[0];
  my $number = 0;
  for (@{$record->{limits}}) {
    my $limit = pack("QQ", map { $_ eq "unlimited" ? ~0 : $_ } split(" "));
    call("prlimit64", 0, $number++, $limit, 0);
  }
  my ($policy, $flags, $nice, $priority, $runtime, $deadline, $period, $mask, $io) = @{$record->{schedule}};
  ($runtime, $deadline, $period) = (0, 0, 0) unless $policy == 6;
  my $attributes = pack("LLQlLQQQ", 48, $policy, $flags & 1, $nice, $priority, $runtime, $deadline, $period);
  call("sched_setattr", 0, $attributes, 0);
  my $cpus = pack("H*", $mask);
  call("sched_setaffinity", 0, length($cpus), $cpus) if length($cpus);
  call("ioprio_set", 1, 0, $io + 0) if $io >= 0 && $io != call("ioprio_get", 1, 0);
}

sub same_words {
  return join(" ", sort split(" ", $_[0])) eq join(" ", sort split(" ", $_[1]));
}

# Takes user, groups and bounds, and believes the kernel only that they were taken.
sub become {
  my ($record) = @_;
  my ($user, $group, @groups) = @{$record->{user}};
  my ($bound, $no_new) = @{$record->{rights}};
  my $mine = status("/proc/self/status");
  my $spare = hex($mine->{CapBnd}) & ~hex($bound);
  for (0 .. 63) {
    call("prctl", 24, $_, 0, 0, 0) if $spare & (1 << $_);
  }
  if (!same_words($mine->{Groups}, "@groups")) {
    my $list = pack("L*", @groups);
    call("setgroups", scalar(@groups), $list);
  }
  call("setresgid", $group + 0, $group + 0, $group + 0) if $mine->{Gid} !~ /^$group\t$group\t$group\t$group$/;
  call("prctl", 47, 4, 0, 0, 0);
  my $stranger = $mine->{Uid} !~ /^$user\t$user\t$user\t$user$/;
  # Whoever holds a session keyring may use its keys: ours stays behind. Its user could have used up how many it may have,
  # so this comes first. Where the call is not allowed or not known, keys are not for that user either.
  die "the keys of the worker cannot be left behind ($!): $advice\n" if $stranger && call("keyctl", 1, 0) < 0 && $! != 1 && $! != 38;
  call("setresuid", $user + 0, $user + 0, $user + 0) if $stranger;
  my $kept = $user == 0 ? hex(status("/proc/self/status")->{CapPrm}) & hex($bound) : 0;
  my ($header, $sets) = (pack("Ll", 0x20080522, 0), pack("L6", ($kept & 0xffffffff) x 2, 0, ($kept >> 32) x 2, 0));
  call("capset", $header, $sets);
  call("personality", $record->{personality}[0] + 0);
  umask(oct($record->{umask}[0]));
  call("prctl", 38, 1, 0, 0, 0) if $no_new;
  verify($record);
}

sub verify {
  my ($record) = @_;
  my ($user, $group, @groups) = @{$record->{user}};
  my ($bound, $no_new) = @{$record->{rights}};
  my $now = status("/proc/self/status");
  my $strict = $record->{how}[0] eq "itself";
  my %wrong = (
    user => $now->{Uid} ne join("\t", ($user) x 4),
    group => $now->{Gid} ne join("\t", ($group) x 4),
    "list of groups" => !same_words($now->{Groups}, "@groups"),
    "bounding set" => $strict ? $now->{CapBnd} ne $bound : scalar(hex($now->{CapBnd}) & ~hex($bound)),
    capabilities => hex($now->{CapInh}) || hex($now->{CapAmb}) || ($user != 0 && (hex($now->{CapPrm}) || hex($now->{CapEff}))),
    no_new_privs => ($now->{NoNewPrivs} || 0) < $no_new || ($strict && $now->{NoNewPrivs} != $no_new),
  );
  if ($strict) {
    my @limits = split(/\n/, text("/proc/self/limits"));
    shift @limits;
    $wrong{limits} = join(",", map { /^Max .{21} (\S+) +(\S+)/ ? "$1 $2" : "" } @limits) ne join(",", @{$record->{limits}});
    $wrong{"out-of-memory score"} = text("/proc/self/oom_score_adj") != $record->{oom}[0];
    my $attributes = pack("LLQlLQQQ", 48, 0, 0, 0, 0, 0, 0, 0);
    call("sched_getattr", 0, $attributes, 48, 0);
    my ($policy, undef, $nice, $priority) = (unpack("LLQlLQQQ", $attributes))[1 .. 4];
    $wrong{priority} = "$policy $nice $priority" ne join(" ", @{$record->{schedule}}[0, 2, 3]);
    my $personality = call("personality", 0xffffffff);
    $wrong{personality} = $personality != $record->{personality}[0];
  }
  for (sort keys %wrong) {
    die "the $_ of the server cannot be had again by the user of the worker: $advice\n" if $wrong{$_};
  }
}

# --- as its user ---

my @opened;

sub open_descriptor {
  my ($number, $row) = @_;
  my ($kind, $name, $place, $flags) = @$row;
  my $null = "/dev/null";
  my $instead = sub {
    my ($why) = @_;
    push @losses, ($number == 0 ? "its input" : "its output") . " is /dev/null now, for $why" if $why ne "" && $number > 0;
    my $fd = call("openat", -100, $null, 2 | $on_exec, 0);
    die "/dev/null cannot be opened\n" if $fd < 0;
    return ($fd, undef);
  };
  return $instead->("") if $kind eq "null" || $kind eq "closed";
  return $instead->("it was $kind") if $kind ne "file" && $kind ne "fifo";
  my $fd = call("openat", -100, $name, $flags | $no_follow | $no_terminal | $non_block | $on_exec, 0);
  return $instead->("its user cannot open " . shown($name) . " ($!)") if $fd < 0;
  my $handle;
  if (!open($handle, ($flags & 3) ? "+<&=" : "<&=", $fd) || place($handle) ne $place) {
    return $instead->(shown($name) . " is another file now");
  }
  push @opened, $handle;
  fcntl($handle, 4, $flags & ($append | $non_block));
  sysseek($handle, 0, 2) if ($flags & 3) && !($flags & $append) && $kind eq "file";
  return ($fd, $handle);
}

# Opens 0 to 2, and says how long each log is now. What was one file with one mode is one descriptor again, or the two
# would write over one another.
sub take_descriptors {
  my ($record, $really) = @_;
  my (%seen, @sizes);
  for my $number (0 .. 2) {
    my $row = $record->{"descriptor$number"};
    my $key = join("\0", @$row);
    my ($fd, $handle) = $seen{$key} ? @{$seen{$key}} : open_descriptor($number, $row);
    $seen{$key} = [$fd, $handle];
    push @sizes, "$number " . (-s $handle || 0) if $handle && $number > 0;
    call("dup3", $fd, $number, 0) if $really && $fd != $number;
  }
  return @sizes;
}

sub enter {
  my ($record) = @_;
  my ($folder, $place) = @{$record->{folder}};
  chdir($folder) or die "user $record->{user}[0] cannot enter the folder " . shown($folder) . " that the server stands in ($!): $advice\n";
  die "the folder " . shown($folder) . " that the server stands in is another one now: $advice\n" if place(".") ne $place;
}

sub may_run {
  my ($name) = @_;
  return -f $name && call("faccessat", -100, $name, 1) == 0;
}

# The file to run: the very executable, or what has its name since it was replaced.
sub executable {
  my ($record) = @_;
  my ($name, $place) = @{$record->{executable}};
  my $user = $record->{user}[0];
  die "the executable " . shown($name) . " of the server was removed: $advice\n" unless -e $name;
  die "user $user may not run the executable " . shown($name) . " of the server: $advice\n" unless may_run($name);
  if ($place eq "") {
    push @losses, "its executable " . shown($name) . " was replaced since it was started, and the new one runs";
  } elsif (place($name) ne $place) {
    die "the executable " . shown($name) . " of the server is another file now: $advice\n";
  }
  return $name;
}

# The first word must still lead to the executable: who rewrote it may have rewritten the others too.
sub prove_arguments {
  my ($record, $name) = @_;
  my ($first) = @{$record->{arguments}};
  my %variables = map { /^([^=]*)=(.*)/s ? ($1, $2) : () } @{$record->{environment}};
  my @found = $first =~ m{/} ? ($first) : map { "$_/$first" } split(/:/, $variables{PATH} || "/usr/bin:/bin");
  return if grep { $_ ne "" && place($_) ne "" && place($_) eq place($name) } @found;
  my ($base) = $name =~ m{([^/]*)\z};
  if ($first =~ m{(?:^|[/-])\Q$base\E\z}) {
    # An upgrade that renames the folder of the old program leads its name to the new one.
    my ($other) = grep { m{^/} && place($_) ne "" } @found;
    push @losses, "it was started by the name " . shown($other) . ", which leads to another file now, and the one that ran is started" if defined $other;
    return;
  }
  die "process $record->{pid}[0] has rewritten its arguments, so it cannot be started again by them: $advice\n";
}

# What execve would refuse, told before.
sub prove_size {
  my ($record) = @_;
  my @words = (@{$record->{arguments} || []}, @{$record->{environment}});
  my $size = 0;
  for (@words) {
    die "a word of the server is longer than the kernel takes: $advice\n" if length($_) >= 131072;
    $size += length($_) + 9;
  }
  my ($stack) = split(" ", $record->{limits}[3]);
  my $room = $stack eq "unlimited" || $stack > 25165824 ? 6291456 : $stack / 4;
  $room = 131072 if $room < 131072;
  die "the words of the server are more than the kernel takes: $advice\n" if $size > $room;
}

# --- would it serve the data directory ---

sub is_directory {
  my ($record, $name) = @_;
  return $name ne "" && place($name) eq $record->{directory}[1];
}

sub shortened { my ($name) = @_; $name =~ s{/+\z}{}; $name =~ s{^(?:\.{1,2}/+)+}{}; return $name }

# Relative names count from the folder that it stands in now, and a server may have changed that since it was started.
sub prove_directory {
  my ($record, $name) = @_;
  my ($directory) = @{$record->{directory}};
  my $wrong = sub {
    die "a restart would not serve the data directory " . shown($directory) . ": it was started with the relative name "
      . shown($_[0]) . ", which leads elsewhere from the folder that it stands in now: $advice\n";
  };
  my (undef, @words) = @{$record->{arguments}};
  my %variables = map { /^([^=]*)=(.*)/s ? ($1, $2) : () } @{$record->{environment}};
  return prove_postgres($record, \@words, \%variables, $wrong) if $name =~ m{/(?:edb-)?post(?:gres|master)\z};
  my @named = map { /^[^=]*=(.+)/s ? ($_, $1) : ($_) } @words;
  return if grep { is_directory($record, $_) } @named, values %variables;
  my @options = ("", @words);
  for my $at (1 .. @words) {
    my ($option, $value) = $options[$at] =~ /^(-[^=]*)=(.*)/s ? ($1, $2) : ($options[$at - 1], $options[$at]);
    $wrong->($value) if names_folder($option) && leads_astray($directory, $value);
  }
  for (keys %variables) {
    $wrong->($variables{$_}) if names_folder("-$_") && leads_astray($directory, $variables{$_});
  }
}

sub names_folder { return $_[0] =~ /^-.*(?:dir|data|path|folder|home|base|root|store)/i || $_[0] =~ /^-[dD]\z/ }

sub leads_astray {
  my ($directory, $name) = @_;
  my $tail = shortened($name);
  return $name !~ m{^/} && $tail ne "" && $directory =~ m{/\Q$tail\E/*\z};
}

# Settings on the command line are named by -c and by --, and the last of each counts.
sub prove_postgres {
  my ($record, $words, $variables, $wrong) = @_;
  my ($folder, %settings) = ($variables->{PGDATA});
  for (my $at = 0; $at < @$words; $at++) {
    my $word = $words->[$at];
    if ($word =~ /^-D(.*)/s) { $folder = $1 ne "" ? $1 : $words->[++$at] }
    elsif ($word =~ /^(?:-c|--)([A-Za-z_-]+)=(.*)/s) { (my $key = $1) =~ tr/-/_/; $settings{$key} = $2 }
    elsif ($word eq "-c" && ($words->[$at + 1] || "") =~ /^([A-Za-z_-]+)=(.*)/s) { (my $key = $1) =~ tr/-/_/; $settings{$key} = $2; $at++ }
  }
  for (qw(config_file hba_file ident_file)) {
    my $file = $settings{$_};
    $wrong->($file) if defined $file && $file !~ m{^/} && !-e $file;
  }
  my ($directory) = @{$record->{directory}};
  my $named = defined $settings{data_directory} ? $settings{data_directory} : $folder;
  if (!defined $named || $named eq "") {
    return if defined $settings{config_file};
    die "nothing names the data directory " . shown($directory) . " to a server started again: $advice\n";
  }
  return if is_directory($record, $named);
  $wrong->($named) unless $named =~ m{^/};
  # A folder of settings alone names the data directory within them.
  return if !defined $settings{data_directory} && -e "$named/postgresql.conf" && !-e "$named/PG_VERSION";
  die "a restart would not serve the data directory " . shown($directory) . ", for it would serve " . shown($named) . ": $advice\n";
}

# --- the verbs ---

sub prove {
  my ($record) = @_;
  prove_size($record);
  return if $record->{how}[0] eq "command";
  my $name = executable($record);
  prove_arguments($record, $name);
  prove_directory($record, $name);
}

# In a child, for it cannot go back. Its word comes from our own text, as no one else may trace who changed its user.
sub rehearse {
  my ($record) = @_;
  pipe(my $from, my $into) or refuse("the start could not be rehearsed");
  my $child = fork;
  refuse("the start could not be rehearsed") unless defined $child;
  if ($child == 0) {
    alarm(4);
    $told = $into;
    eval {
      join_groups($record, 0);
      take_bounds($record);
      become($record);
      enter($record);
      take_descriptors($record, 0);
      prove($record);
      1;
    } or do { chomp(my $why = $@); refuse($why) };
    syswrite($told, join("; ", "ok", @losses) . "\n");
    exit 0;
  }
  close($into);
  local $/;
  my $said = <$from>;
  waitpid($child, 0);
  refuse("the start could not be rehearsed within 4 s") unless defined $said && $said =~ /\n\z/;
  return $said;
}

sub look_at {
  my ($pid, $start, $directory, $how, $fence) = @_;
  alarm(6);
  my $record = observe($pid, $start, $directory, $how);
  my $said = rehearse($record);
  if (defined $fence && $said =~ /^ok/) {
    $record->{command} = [text("$fence/command")] if $how eq "command";
    umask(077);
    my $name = "$fence/restart";
    unlink("$name.new");
    # Created anew, for us alone.
    my $fd = call("openat", -100, "$name.new", 0301 | $no_follow, 0600);
    refuse("the state directory cannot be written") if $fd < 0;
    open(my $file, ">&=", $fd) or refuse("the state directory cannot be written");
    binmode($file);
    print $file written($record) and close($file) and rename("$name.new", $name) or refuse("the state directory cannot be written");
  }
  print $said;
}

sub start {
  my ($fence) = @_;
  my $record = eval { recalled("$fence/restart") } or do { print STDERR $@; exit 1 };
  # Nothing of ours goes along.
  opendir(my $folder, "/proc/self/fd");
  my @open = grep { /^[0-9]+$/ && $_ > 2 && $_ != fileno($folder) } readdir($folder);
  closedir($folder);
  call("close", $_ + 0) for @open;
  open(my $notes, ">", "$fence/notes") or exit 1;
  open(my $errors, ">&", \*STDERR) or exit 1;
  $SIG{$_} = "DEFAULT" for grep { !/^(?:KILL|STOP|__)/ } keys %SIG;
  eval {
    join_groups($record, 1);
    take_bounds($record);
    become($record);
    enter($record);
    my @sizes = take_descriptors($record, 1);
    prove($record);
    syswrite($notes, join("\n", @sizes, "losses " . join("; ", @losses)) . "\n");
    become_server($record);
    1;
  } or syswrite($errors, $@);
  exit 1;
}

sub become_server {
  my ($record) = @_;
  my ($file, @words) = ($record->{executable}[0], @{$record->{arguments} || []});
  my @environment = @{$record->{environment}};
  if ($record->{how}[0] eq "command") {
    $file = "/bin/sh";
    # Arguments are for everybody to read, the environment is not.
    @words = ("sh", "-c", q{inquorate=$INQUORATE_COMMAND; unset INQUORATE_COMMAND; eval "$inquorate"}, "inquorate");
    @environment = ((grep { !/^INQUORATE_COMMAND=/ } @environment), "INQUORATE_COMMAND=$record->{command}[0]");
  }
  my $arguments = pack("p*", @words, undef);
  my $variables = pack("p*", @environment, undef);
  call("execve", $file, $arguments, $variables);
  die "the server could not be executed: $!\n";
}

# The last line that a server started by us said in its own logs, read with its own rights.
sub last_line {
  my ($fence) = @_;
  my $record = eval { recalled("$fence/restart") } or exit 0;
  my %sizes = map { /^([12]) ([0-9]+)$/ ? ($1, $2) : () } split(/\n/, text("$fence/notes"));
  alarm(4);
  # Its user is enough to read by.
  $record->{how} = ["command"];
  eval { become($record); 1 } or exit 0;
  for my $number (2, 1) {
    my ($kind, $name, $place) = @{$record->{"descriptor$number"}};
    next unless defined $sizes{$number} && $kind eq "file";
    my $fd = call("openat", -100, $name, $no_follow | $non_block, 0);
    next if $fd < 0;
    open(my $file, "<&=", $fd) or next;
    next if place($file) ne $place;
    my $size = -s $file;
    my $from = $size - 4000 > $sizes{$number} ? $size - 4000 : $sizes{$number};
    sysseek($file, $from, 0) && sysread($file, my $said, 4000) or next;
    my @lines = grep { /\S/ } split(/\n/, $said);
    next unless @lines;
    print shown($lines[-1]), "\n";
    last;
  }
}

my $verb = shift @ARGV;
if ($verb eq "look") { look_at(@ARGV) }
if ($verb eq "start") { start(@ARGV) }
if ($verb eq "last") { last_line(@ARGV) }
