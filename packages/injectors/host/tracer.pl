# The holder: a short Perl program that stops a tree of processes with ptrace. What it traces is let go by the kernel
# when the holder ends, however it ends; that is the kernel grade of a pause.
#
# - It never waits for a living tracee: the kernel keeps the signal a stopped thread was about to take only while
#   nobody has collected the stop, so whoever kills the holder at any moment loses no signal. It never detaches.
# - PTRACE_O_EXITKILL is not set, and no signal is sent to what is traced: a group stop of somebody else stays as it is.
# - A process is stopped whole before its children are listed, so it needs no events of fork or clone, and a parent in
#   vfork gets its turn. The list is whole when all were seen stopped before it was made, twice.
# - Nothing is touched before the holder is on record in the fence, by the keeper that started it and still lives.
# - It ends by itself shortly after the deadline, for the case that the keepers died and it did not.
# - Requests and states: ptrace(2); PTRACE_SEIZE and PTRACE_INTERRUPT are in Linux since 3.4.
#
# Perl without any module but `strict`. The text stands between single quotes of a shell and so holds none.

# inquorate-holder
use strict;

my %wait = (NOHANG => 1, ALL => 0x40000000);
my %request = (SEIZE => 0x4206, INTERRUPT => 0x4207);
my $ptrace = call_number();

# By the machine this very perl was built for, since a wrong number would be another call.
sub call_number {
  open(my $self, "<", "/proc/self/exe") or return;
  read($self, my $head, 20) == 20 or return;
  my ($class, $machine) = unpack("x4 C x13 v", $head);
  return $class == 2 ? { 62 => 101, 183 => 117 }->{$machine} : undef;
}

sub ptrace {
  my ($name, $task) = @_;
  return syscall($ptrace, $request{$name}, $task + 0, 0, 0) == 0;
}

sub nap { select(undef, undef, undef, $_[0]) }

sub text {
  open(my $file, "<", $_[0]) or return "";
  local $/;
  my $text = <$file>;
  return defined $text ? $text : "";
}

sub names {
  opendir(my $folder, $_[0]) or return;
  return readdir($folder);
}

sub uptime {
  my ($seconds) = split / /, text("/proc/uptime");
  return int($seconds * 1000);
}

# The fields of a stat from the state on: parent is 1, flags are 6, the start time is 19.
sub facts {
  my $line = text($_[0]);
  return $line =~ /.*\) (.*)/s ? split(/ /, $1) : ();
}

sub ended { return !@_ || $_[0] =~ /[ZXx]/ }

# 0x4 marks what is about to end.
sub ending { return ended(@_) || $_[6] & 0x4 }

sub tasks {
  my ($process) = @_;
  return grep { /^[0-9]+$/ } names("/proc/$process/task");
}

sub children {
  my ($process) = @_;
  return map { split(" ", text("/proc/$process/task/$_/children")) } tasks($process) if -e "/proc/$$/task/$$/children";
  return grep { /^[0-9]+$/ && ((facts("/proc/$_/stat"))[1] || 0) == $process } names("/proc");
}

# --- try ---

# The same right as ptrace asks for opens /proc/PID/mem, and touches nothing. 0x10 marks a thread of the kernel in a
# process, such as a worker of io_uring, which cannot be traced.
sub examine {
  my ($process) = @_;
  for my $task (tasks($process)) {
    my @facts = facts("/proc/$process/task/$task/stat");
    next if ended(@facts);
    my ($tracer) = text("/proc/$process/task/$task/status") =~ /^TracerPid:\s*([0-9]+)/m;
    return "traced $process $tracer" if $tracer;
    return "Keeper" if $facts[6] & 0x10;
  }
  return "" if open(my $memory, "<", "/proc/$process/mem");
  # Of one that is about to end the kernel says no for that alone: ESRCH, or EACCES since its files belong to root by then.
  my $refused = $! == 1 || $! == 13;
  return $refused && !ending(facts("/proc/$process/stat")) ? "Keeper" : "";
}

# A process of its own to practise on: what forbids ptrace altogether shows here.
sub practise {
  my $parent = $$;
  my $child = fork;
  return 0 unless defined $child;
  if ($child == 0) {
    nap(0.01) while getppid == $parent;
    exit 0;
  }
  my $held = 0;
  if (ptrace("SEIZE", $child) && ptrace("INTERRUPT", $child)) {
    for (1 .. 500) {
      $held = 1 if (facts("/proc/$child/stat"))[0] eq "t";
      last if $held;
      nap(0.001);
    }
  }
  kill "KILL", $child;
  waitpid($child, 0);
  return $held;
}

# What may be said of the whole tree.
sub examine_all {
  my @queue = @_;
  my %seen;
  while (@queue) {
    my $process = shift @queue;
    next if $seen{$process}++;
    my $word = examine($process);
    return $word if $word;
    push @queue, children($process);
  }
  return $ptrace && practise() ? "Kernel" : "Keeper";
}

# --- hold ---

my ($fence, %born, %traced);

sub leave_word {
  my ($name, $line) = @_;
  open(my $file, ">", "$fence/$name.$$") or exit 1;
  print $file "$line\n";
  close($file) and rename("$fence/$name.$$", "$fence/$name") or exit 1;
}

sub fail {
  leave_word("failed", "0 $_[0]");
  exit 1;
}

sub await_record {
  my ($keeper) = @_;
  my $me = (facts("/proc/$$/stat"))[19];
  my $limit = uptime() + 10000;
  until (text("$fence/holder") eq "$$ $me .\n") {
    exit 1 if getppid != $keeper || uptime() > $limit;
    nap(0.0005);
  }
}

# Everything is known and nothing is touched: a seized thread would stop at each of its signals. Looks for the go a
# thousand times a second, and ends when it can come no more.
sub await_go {
  my ($keeper, $standby) = @_;
  while (1) {
    if (text("$fence/go") =~ /^([0-9]+) [.]$/) {
      my $start_by = $1;
      exit 1 if getppid != $keeper || -e "$fence/dismissed" || -e "$fence/refused";
      fail("the order came late") if uptime() > $start_by;
      return;
    }
    exit 0 if getppid != $keeper || uptime() > $standby + 1000;
    exit 0 if -e "$fence/refused" || -e "$fence/dismissed" || -e "$fence/lifted";
    nap(0.001);
  }
}

# What is stopped is on record before it is touched.
sub adopt {
  my ($process, $start) = @_;
  open(my $file, ">>", "$fence/processes") or fail("the state directory cannot be written");
  syswrite($file, "$process $start\n") or fail("the state directory cannot be written");
  $born{$process} = $start;
}

sub seize {
  my ($process) = @_;
  my $fresh = 0;
  for my $task (tasks($process)) {
    next if exists $traced{$task};
    next if ended(facts("/proc/$process/task/$task/stat"));
    if (!ptrace("SEIZE", $task)) {
      my $why = "$!";
      my @facts = facts("/proc/$process/task/$task/stat");
      next if ended(@facts);
      $fresh = 1;
      next if ending(@facts);
      fail("process $process cannot be traced ($why)");
    }
    my @facts = facts("/proc/$process/stat");
    fail("pid $process belongs to another process now") if @facts && $facts[19] ne $born{$process};
    $traced{$task} = $process;
    ptrace("INTERRUPT", $task);
    $fresh = 1;
  }
  return $fresh;
}

# Says which processes have a thread that is not stopped yet, and asks those threads again.
sub restless {
  my %restless;
  for my $task (keys %traced) {
    my $process = $traced{$task};
    my @facts = facts("/proc/$process/task/$task/stat");
    if (!@facts) {
      delete $traced{$task};
    } elsif ($facts[0] !~ /[tZXx]/) {
      $restless{$process} = 1;
      ptrace("INTERRUPT", $task);
    }
  }
  return %restless;
}

sub stop_all {
  my $limit = uptime() + 1000;
  my $quiet = 0;
  while ($quiet < 2) {
    # Looked at before the threads and the children are listed: what is stopped makes no more of them.
    my %restless = restless();
    my $calm = !%restless;
    for my $process (keys %born) {
      if (seize($process)) {
        $calm = 0;
      } elsif (!$restless{$process}) {
        for my $child (children($process)) {
          my @facts = exists $born{$child} ? () : facts("/proc/$child/stat");
          next if ended(@facts);
          adopt($child, $facts[19]);
          $calm = 0;
        }
      }
    }
    $quiet = $calm ? $quiet + 1 : 0;
    fail("not every thread stopped within 1 s") if uptime() > $limit;
    nap(0.0003) unless $calm;
  }
}

# A tracee that died is shown to its parent only after its tracer has collected it.
sub collect_dead {
  for my $task (keys %traced) {
    my @facts = facts("/proc/$traced{$task}/task/$task/stat");
    waitpid($task, $wait{NOHANG} | $wait{ALL}) if @facts && $facts[0] eq "Z";
    delete $traced{$task} if !@facts;
  }
}

# The earliest deadline on record, as uptime and UTC.
sub deadline {
  my ($deadline, $utc);
  for (names($fence)) {
    next unless /^deadline[.]([0-9]+)[.]([0-9]+)$/;
    ($deadline, $utc) = ($1, $2) if !defined $deadline || $1 < $deadline;
  }
  return ($deadline, $utc);
}

# The keepers come first; this is for the case that there is none.
my $patience = 150;

sub stand {
  ($fence, my $keeper, my $pid, my $start, my $standby) = @_;
  my $word = examine_all($pid);
  leave_word("traces", $word);
  exit 0 if $word ne "Kernel";
  await_record($keeper);
  await_go($keeper, $standby);
  adopt($pid, $start);
  stop_all();
  open(my $held, ">", "$fence/held") or fail("the state directory cannot be written");
  close($held);
  until (-e "$fence/lifted") {
    my ($deadline, $utc) = deadline();
    my $left = defined $deadline ? $deadline + $patience - uptime() : 0;
    if ($left <= 0) {
      settle($utc - $deadline) if defined $deadline;
      last;
    }
    collect_dead();
    nap($left < 100 ? $left / 1000 : 0.1);
  }
}

# Records the end like a keeper does. What follows is the exit, and with it the end itself.
sub settle {
  my ($offset) = @_;
  open(my $mark, ">", "$fence/released");
  my $now = uptime();
  open(my $file, ">", "$fence/lifted.$$") or return;
  print $file "$now " . ($now + $offset) . " Keeper\n";
  close($file) and link("$fence/lifted.$$", "$fence/lifted");
}

my $verb = shift @ARGV;
if ($verb eq "try") { print examine_all(@ARGV) . "\n" }
if ($verb eq "stand") { stand(@ARGV) }
