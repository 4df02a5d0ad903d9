# producer.pl [PORT [RUN [NUMBER ...]]]: pushes tasks to the queue `sums`, and prints their results as they come.

use strict;
use warnings;
use Redis;

use constant QUEUE => 'sums';
# A failover, or a server that takes no writes now.
my $again = qr/UNBLOCKED|TRYAGAIN|NOREPLICAS|MISCONF|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|BUSY/;

my ($port, $run, @numbers) = @ARGV;
$port //= 6379;
$run //= time . "-$$";
@numbers = (1 .. 10) if !@numbers;
$| = 1;
my $r;

# Says a command until it is answered. Each of ours may be said twice: the pushes have IDs, COLLECT only reads.
sub ask {
    my ($command, @arguments) = @_;
    for (;;) {
        my $reply;
        return $reply if eval {
            # The read timeout is longer than BLOCK.
            $r //= Redis->new(server => "127.0.0.1:$port", cnx_timeout => 5, read_timeout => 10);
            $reply = $r->$command(@arguments); # a method whose name has a dot
            1;
        };
        die $@ if $@ =~ /^Redis server authentication error: /; # a wrong password
        # A refusal reads "[command] CODE text"; everything else is the connection.
        die $@ if $@ =~ /^\[\Q$command\E\] [A-Z]+ / && $@ !~ /^\[\Q$command\E\] $again/;
        warn $@;
        undef $r; # the address may lead to a new master by now
        sleep 1;
    }
}

ask('TASK.PUSH', QUEUE, $_, 'ID', "$run:$_", 'BATCH', $run, 'ATTEMPTS', 3, 'BACKOFF', 200) for @numbers;
ask('TASK.SEAL', QUEUE, $run);

my ($cursor, $remaining, $completed, $ends) = (0, -1, 0);
while ($remaining != 0) {
    ($cursor, $remaining, $ends) = @{ ask('TASK.COLLECT', QUEUE, $run, $cursor, 'BLOCK', 1000) };
    for (@$ends) {
        my ($id, $state, $data) = @$_;
        print "$id $state ", $data // '', "\n";
        $completed++ if $state eq 'completed';
    }
}
exit($completed == @numbers ? 0 : 1);
