# worker.pl [PORT]: works on the queue `sums` until SIGTERM.

use strict;
use warnings;
use Redis;
use Time::HiRes qw(sleep time);

use constant QUEUE => 'sums';
my $refused = qr/NOTASK|STALE|CANCELED|NOTCLAIMED/; # the task is not ours any more: nothing is wrong
# A failover, or a server that takes no writes now.
my $again = qr/UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY/;

my $port = $ARGV[0] // 6379;
my $stopping;
$SIG{TERM} = $SIG{INT} = sub { $stopping = 1 };
my $r;

# Says a command until it is answered. undef: nothing to do, or the task is not ours any more.
sub ask {
    my ($command, @arguments) = @_;
    for (;;) {
        my $reply;
        return $reply if eval {
            # Without `reconnect` it says nothing again by itself. The read timeout is longer than BLOCK.
            $r //= Redis->new(server => "127.0.0.1:$port", cnx_timeout => 5, read_timeout => 10);
            $reply = $r->$command(@arguments); # a method whose name has a dot
            1;
        };
        die $@ if $@ =~ /^Redis server authentication error: /; # a wrong password
        # A refusal reads "[command] CODE text"; everything else is the connection.
        if ($@ =~ /^\[\Q$command\E\] ([A-Z]+) /) {
            my $code = $1;
            return if $code =~ /^(?:$refused)$/;
            die $@ if $code !~ /^(?:$again)$/; # a mistake of ours
        }
        warn $@;
        undef $r; # the address may lead to a new master by now
        return if $stopping && $command eq 'TASK.CLAIM';
        sleep 1;
    }
}

# The work: here a sum of squares, made slow. It calls $alive often.
sub work {
    my ($payload, $alive) = @_;
    die "no number: $payload\n" if $payload !~ /^\d+$/;
    my $total = 0;
    for my $n (1 .. $payload) {
        $alive->();
        sleep 0.05;
        $total += $n * $n;
    }
    return $total;
}

# What to answer for a task.
sub answer {
    my ($id, $payload, $attempt, $lease_ms) = @_;
    my $beaten = time;
    my $alive = sub {
        die "stopping\n" if $stopping;
        return if time - $beaten < $lease_ms / 3000;
        $beaten = time; # the heartbeat
        ask('TASK.EXTEND', QUEUE, $id, 'ATTEMPT', $attempt) // die "lost\n";
    };
    my $result = eval { work($payload, $alive) };
    return ('TASK.COMPLETE', QUEUE, $id, $result) if defined $result;
    return ('TASK.RELEASE', QUEUE, $id) if $@ eq "stopping\n";
    return if $@ eq "lost\n";
    return ('TASK.FAIL', QUEUE, $id, $@); # tried again after its backoff
}

until ($stopping) {
    my $task = ask('TASK.CLAIM', QUEUE, 'WORKER', 'perl', 'BLOCK', 1000) or next;
    my ($id, $payload, $attempt, $lease_ms) = @$task;
    my @answer = answer($id, $payload, $attempt, $lease_ms) or next;
    ask(@answer, 'ATTEMPT', $attempt); # said again after a lost connection: safe
}
