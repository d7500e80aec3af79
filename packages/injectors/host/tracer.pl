# The holder: a short Perl program that stops trees of processes with ptrace, one tree for each fence that its operation has on
# this host. What it traces is let go by the kernel when the holder ends, however it ends; that is the kernel grade of a pause.
#
# - It never waits for a living tracee: the kernel keeps the signal a stopped thread was about to take only while
#   nobody has collected the stop, so whoever kills the holder at any moment loses no signal. Where it lets go of one tree and
#   holds the others, it detaches from each thread with the very signal that the thread was about to take.
# - PTRACE_O_EXITKILL is not set, and no signal is sent to what is traced: a group stop of somebody else stays as it is.
# - A process is stopped whole before its children are listed, so it needs no events of fork or clone, and a parent in
#   vfork gets its turn. The list is whole when all were seen stopped before it was made, twice.
# - All trees that get their go together are seized before any is waited for. What fails in one leaves the others held.
# - What is there of a tree at the go is seized in one pass. Children of a parent in vfork wait until it was stopped.
# - Nothing is touched before the holder is on record in the fence and both keepers stand, and none while the first is dead.
# - It lets go by itself shortly after a fence's deadline, for the case that the keepers died and it did not.
# - Requests and states: ptrace(2); PTRACE_SEIZE and PTRACE_INTERRUPT are in Linux since 3.4.
#
# Perl without any module but `strict`. The text stands between single quotes of a shell and so holds none.

# inquorate-holder
use strict;

my %wait = (NOHANG => 1, ALL => 0x40000000);
my %request = (DETACH => 17, SIGINFO => 0x4202, SEIZE => 0x4206, INTERRUPT => 0x4207);
my ($ptrace, $clock, $setsid) = call_numbers();

# By the machine this very perl was built for, since a wrong number would be another call.
sub call_numbers {
  open(my $self, "<", "/proc/self/exe") or return;
  read($self, my $head, 20) == 20 or return;
  my ($class, $machine) = unpack("x4 C x13 v", $head);
  return $class == 2 ? @{{ 62 => [101, 228, 112], 183 => [117, 113, 157] }->{$machine} || []} : ();
}

# The kernel writes into what stands in the words of whoever calls this.
sub ptrace {
  my ($name, $task) = @_;
  return syscall($ptrace, $request{$name}, $task + 0, 0, @_ > 2 ? $_[2] : 0) == 0;
}

# Microseconds of the monotonic clock.
sub instant {
  my $time = "\0" x 16;
  syscall($clock, 1, $time);
  my ($seconds, $nanos) = unpack("qq", $time);
  return int($seconds * 1000000 + $nanos / 1000);
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
    for (1 .. 2500) {
      $held = 1 if (facts("/proc/$child/stat"))[0] eq "t";
      last if $held;
      nap(0.0002);
    }
  }
  kill "KILL", $child;
  waitpid($child, 0);
  return $held;
}

# What may be said of a whole tree.
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
  return able() ? "Kernel" : "Keeper";
}

my $able;

sub able {
  $able = $ptrace && practise() ? 1 : 0 unless defined $able;
  return $able;
}

# --- the fences ---

# The folder of those who share, the first keeper with its start time, and the fences, each `ready`, `biting`, `held`, `loosing`
# or `off`.
my ($shared, $keeper, $keeper_born, @fences);

sub leave_word {
  my ($fence, $name, $line) = @_;
  open(my $file, ">", "$fence->{at}/$name.$$") or exit 1;
  print $file "$line\n";
  close($file) and rename("$fence->{at}/$name.$$", "$fence->{at}/$name") or exit 1;
}

# Ends the way of one fence.
sub fail { die "$_[0]\n" }

sub is_called_off {
  my ($fence) = @_;
  return grep { -e "$fence->{at}/$_" } qw(dismissed released refused lifted);
}

sub is_orphan {
  my @facts = facts("/proc/$keeper/stat");
  return ended(@facts) || $facts[19] ne $keeper_born;
}

# Both keepers say so once they stand. Where the second does not, the first calls the fences off after 10 s.
sub await_keepers {
  my $limit = uptime() + 11000;
  until (-e "$shared/first" && -e "$shared/ready") {
    exit 1 if uptime() > $limit || is_orphan();
    nap(0.0005);
  }
}

# --- hold ---

# What is stopped is on record before it is touched. Takes processes with their start times.
sub adopt {
  my ($fence, %processes) = @_;
  open(my $file, ">>", "$fence->{at}/processes") or fail("the state directory cannot be written");
  my $lines = join("", map { "$_ $processes{$_}\n" } keys %processes);
  syswrite($file, $lines) or fail("the state directory cannot be written");
  $fence->{born} = { %{$fence->{born}}, %processes };
}

# The tree as it stands, without those whose parent may be in vfork. Such a parent does not stop before its child has called
# exec, so the child must not stop before it. It shows as D; and a vfork after that look has a child that is not listed yet.
sub tree {
  my ($root, $start) = @_;
  my %found = ($root => $start);
  my @queue = ($root);
  while (@queue) {
    my $process = shift @queue;
    my @children = children($process) or next;
    next if grep { ((facts("/proc/$process/task/$_/stat"))[0] || "D") eq "D" } tasks($process);
    for my $child (@children) {
      my @facts = facts("/proc/$child/stat");
      next if exists $found{$child} || ended(@facts);
      $found{$child} = $facts[19];
      push @queue, $child;
    }
  }
  return %found;
}

sub seize {
  my ($fence, $process) = @_;
  my ($born, $traced) = @$fence{qw(born traced)};
  my $fresh = 0;
  for my $task (tasks($process)) {
    next if exists $traced->{$task};
    next if ended(facts("/proc/$process/task/$task/stat"));
    if (!ptrace("SEIZE", $task)) {
      my $why = "$!";
      my @facts = facts("/proc/$process/task/$task/stat");
      next if ended(@facts);
      $fresh = 1;
      next if ending(@facts);
      fail("process $process cannot be traced ($why)");
    }
    $traced->{$task} = $process;
    my @facts = facts("/proc/$process/stat");
    fail("pid $process belongs to another process now") if @facts && $facts[19] ne $born->{$process};
    ptrace("INTERRUPT", $task);
    $fresh = 1;
  }
  return $fresh;
}

# Says which processes have a thread that is not stopped yet, and asks those threads again.
sub restless {
  my ($fence) = @_;
  my $traced = $fence->{traced};
  my %restless;
  for my $task (keys %$traced) {
    my $process = $traced->{$task};
    my @facts = facts("/proc/$process/task/$task/stat");
    if (!@facts) {
      delete $traced->{$task};
    } elsif ($facts[0] !~ /[tZXx]/) {
      $restless{$process} = 1;
      # It waits in the kernel, as for a disk, and nothing can stop it before that is over.
      $fence->{waited} = instant() if $facts[0] eq "D";
      ptrace("INTERRUPT", $task);
    }
  }
  return %restless;
}

# Looks at a tree once, and stops what runs of it. True where all of it was seen stopped.
sub stop_more {
  my ($fence) = @_;
  # Looked at before the threads and the children are listed: what is stopped makes no more of them.
  my %restless = restless($fence);
  my $calm = !%restless;
  for my $process (keys %{$fence->{born}}) {
    if (seize($fence, $process)) {
      $calm = 0;
    } elsif (!$restless{$process}) {
      for my $child (children($process)) {
        my @facts = exists $fence->{born}{$child} ? () : facts("/proc/$child/stat");
        next if ended(@facts);
        adopt($fence, $child, $facts[19]);
        $calm = 0;
      }
    }
  }
  return $calm;
}

# Stops all these trees, one turn of each after the other.
sub bite {
  my @biting = @_;
  my $heard = instant();
  my $limit = uptime() + 1000;
  for my $fence (@biting) {
    @$fence{qw(state quiet waited)} = ("biting", 0, 0);
    on_its_own($fence, sub { adopt($fence, tree($fence->{pid}, $fence->{start})) });
  }
  while (@biting = grep { $_->{state} eq "biting" } @biting) {
    my $calm = 1;
    for my $fence (@biting) {
      on_its_own($fence, sub {
        $fence->{first} = instant() unless defined $fence->{first};
        my $stopped = stop_more($fence);
        $calm = 0 unless $stopped;
        $fence->{quiet} = $stopped ? $fence->{quiet} + 1 : 0;
        $fence->{last} = instant() if $fence->{quiet} == 1;
        if ($fence->{quiet} == 2) {
          leave_word($fence, "bitten", "$heard $fence->{first} $fence->{last} $fence->{waited}");
          leave_word($fence, "held", "");
          $fence->{state} = "held";
        }
        fail("not every thread stopped within 1 s") if uptime() > $limit;
      });
    }
    nap(0.0003) unless $calm;
  }
  wake();
}

# The keepers slept until now, so that nobody of ours ran while the threads were stopped.
sub wake {
  open(my $pipe, "+<", "$shared/wake") or return;
  syswrite($pipe, "\n");
}

# What fails for one fence is said in it, and let go.
sub on_its_own {
  my ($fence, $act) = @_;
  return if eval { $act->(); 1 };
  chomp(my $why = $@);
  leave_word($fence, "failed", "0 $why");
  let_go($fence);
}

# --- let go ---

# A stop that INTERRUPT or a group stop made carries no signal; any other is that of a signal on its way.
sub detach {
  my ($task) = @_;
  my ($facts, $signal) = ("\0" x 128, 0);
  if (ptrace("SIGINFO", $task, $facts)) {
    my ($number, undef, $code) = unpack("l3", $facts);
    $signal = $number unless $code >> 8 == 128;
  }
  return ptrace("DETACH", $task, $signal + 0);
}

sub let_go {
  my ($fence) = @_;
  @$fence{qw(state since)} = ("loosing", uptime());
  loose($fence);
}

# A thread that runs at this moment cannot be let go of, and is asked to stop once more.
sub loose {
  my ($fence) = @_;
  my $traced = $fence->{traced};
  my $left = 0;
  collect_dead($fence);
  for my $task (keys %$traced) {
    my @facts = facts("/proc/$traced->{$task}/task/$task/stat");
    if (!@facts || ($facts[0] eq "t" && detach($task))) {
      delete $traced->{$task};
    } elsif ($facts[0] !~ /[ZXx]/) {
      ptrace("INTERRUPT", $task);
      $left = 1;
    }
  }
  # The kernel lets go of everything, which is more than was asked for, and sure.
  exit 0 if $left && uptime() > $fence->{since} + 1000;
  return if $left;
  $fence->{state} = "off";
  leave_word($fence, "loosed", "");
  settle($fence, $fence->{offset}) if defined $fence->{offset};
}

# A tracee that died is shown to its parent only after its tracer has collected it.
sub collect_dead {
  my ($fence) = @_;
  my $traced = $fence->{traced};
  for my $task (keys %$traced) {
    my @facts = facts("/proc/$traced->{$task}/task/$task/stat");
    waitpid($task, $wait{NOHANG} | $wait{ALL}) if @facts && $facts[0] eq "Z";
    delete $traced->{$task} if !@facts;
  }
}

# The earliest deadline on record, as uptime and UTC.
sub deadline {
  my ($fence) = @_;
  my ($deadline, $utc);
  for (names($fence->{at})) {
    next unless /^deadline[.]([0-9]+)[.]([0-9]+)$/;
    ($deadline, $utc) = ($1, $2) if !defined $deadline || $1 < $deadline;
  }
  return ($deadline, $utc);
}

# Records the end like a keeper does.
sub settle {
  my ($fence, $offset) = @_;
  my $now = uptime();
  open(my $file, ">", "$fence->{at}/lifted.$$") or return;
  print $file "$now " . ($now + $offset) . " Keeper\n";
  close($file) and link("$fence->{at}/lifted.$$", "$fence->{at}/lifted");
}

# --- stand ---

# The keepers come first; this is for the case that there is none.
my $patience = 150;

my $heard = 0;

# The fences that were told to go, and may. Everything is known of them and nothing is touched: a seized thread would stop at
# each of its signals.
sub hear {
  my ($members) = text("$shared/go." . ($heard + 1)) =~ /^([0-9a-f ]+) [.]\n\z/ or return;
  $heard++;
  my %told = map { $_ => 1 } split(/ /, $members);
  my @going;
  for my $fence (grep { $told{$_->{member}} && $_->{state} eq "ready" } @fences) {
    my ($start_by) = text("$fence->{at}/go") =~ /^([0-9]+) [.]$/;
    next if !defined $start_by || is_called_off($fence) || is_orphan();
    if (uptime() > $start_by) {
      on_its_own($fence, sub { fail("the order came late") });
      wake();
    } else {
      push @going, $fence;
    }
  }
  return @going;
}

# Looks whether a fence is to end, and gives how many seconds it may be left alone.
sub look_after {
  my ($fence) = @_;
  if ($fence->{state} eq "ready") {
    let_go($fence) if is_orphan() || is_called_off($fence) || uptime() > $fence->{standby} + 1000;
  } elsif ($fence->{state} eq "held") {
    my ($deadline, $utc) = deadline($fence);
    my $left = defined $deadline ? $deadline + $patience - uptime() : 0;
    if (is_called_off($fence)) {
      let_go($fence);
    } elsif ($left <= 0) {
      $fence->{offset} = $utc - $deadline if defined $deadline;
      leave_word($fence, "released", "");
      let_go($fence);
    } else {
      collect_dead($fence);
      return $left < 100 ? $left / 1000 : 0.1;
    }
  } elsif ($fence->{state} eq "loosing") {
    loose($fence);
  } else {
    # The dead of a tree that was let go.
    collect_dead($fence);
    return 0.1;
  }
  return 0.001;
}

sub stand {
  ($shared) = @_;
  # It outlives whoever started it, as the keepers do.
  syscall($setsid) if $setsid;
  chdir("/");
  $SIG{$_} = "IGNORE" for qw(HUP INT QUIT);
  if (open(my $score, ">", "/proc/self/oom_score_adj")) { syswrite($score, "-1000\n") }
  # Whoever sends it wants the fences to be looked at now.
  my $poked = 0;
  $SIG{USR1} = sub { $poked = 1 };
  my ($operation, $attempt) = $shared =~ m{^(.*)/shared[.]([0-9]+)[.][0-9]+$} or exit 1;
  able();
  # The input ends once it is on record who is held and who keeps, or is not going to be.
  1 while <STDIN>;
  open(STDIN, "<", "/dev/null");
  ($keeper, $keeper_born) = text("$shared/keepers") =~ /^([0-9]+) ([0-9]+) [0-9]+ [0-9]+ [.]\n\z/ or exit 1;
  for (split(/\n/, text("$shared/members"))) {
    my ($member, $pid, $start, $standby) = split / /;
    push @fences, {
      at => "$operation/$attempt.$member", member => $member, pid => $pid, start => $start, standby => $standby,
      state => "ready", born => {}, traced => {},
    };
  }
  for my $fence (@fences) {
    my $word = examine_all($fence->{pid});
    $fence->{state} = "off" if $word ne "Kernel";
    leave_word($fence, "traces", $word);
  }
  my @ready = grep { $_->{state} eq "ready" } @fences;
  if (@ready) {
    await_keepers();
    my $me = (facts("/proc/$$/stat"))[19];
    for my $fence (@ready) {
      leave_word($fence, "holder", "$$ $me .");
      leave_word($fence, "prepared", "");
    }
  }
  # Whoever started this holder waits until nobody has this descriptor open.
  my $waiting;
  close($waiting) if open($waiting, ">&=", 8);
  my $turn = 0;
  while (@fences = grep { $_->{state} ne "off" || %{$_->{traced}} } @fences) {
    my @going = hear();
    bite(@going) if @going;
    my $ready = grep { $_->{state} eq "ready" } @fences;
    my $nap = $ready ? 0.001 : 0.1;
    # A go is looked for a thousand times a second, the rest less often.
    if (!$ready || $poked || $turn++ % 20 == 0) {
      $poked = 0;
      for my $fence (@fences) {
        my $left = look_after($fence);
        $nap = $left if $left < $nap;
      }
    }
    last unless grep { $_->{state} ne "off" } @fences;
    nap($nap) unless $poked;
  }
}

my $verb = shift @ARGV;
if ($verb eq "try") { print examine_all(@ARGV) . "\n" }
if ($verb eq "stand") { stand(@ARGV) }
