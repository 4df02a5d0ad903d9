# conformance.pl PORT [CLUSTER-PORT]: the checks of clients/README.md with Redis.pm.

use strict;
use warnings;
use Redis;
use Time::HiRes qw(time);

my ($port) = @ARGV;
$| = 1;

sub connection { return Redis->new(server => "127.0.0.1:$port", read_timeout => 10) }
my $r = connection();

# As text: 'string', nil, !CODE of an error. Integers and statuses are strings to Redis.pm.
sub show {
    my ($reply) = @_;
    return 'nil' if !defined $reply;
    return '[' . join(' ', map { show($_) } @$reply) . ']' if ref $reply eq 'ARRAY';
    return $reply;
}

# A command with a dot is a method whose name is in a variable.
sub raw { my ($command, @arguments) = @_; return scalar $r->$command(@arguments) }

sub t {
    my $reply = eval { raw(@_) };
    return '!' . ($@ =~ /\] (\w+)/ ? $1 : $@) if $@;
    return show($reply);
}

sub fail { my ($check, $why) = @_; die "FAILED $check: $why\n" }

sub ok {
    my ($check, @pairs) = @_;
    while (my ($got, $expected) = splice @pairs, 0, 2) { fail($check, "$got, not $expected") if $got ne $expected }
    print "ok $check\n";
}

$r->flushall;

ok('push',
    t(qw(TASK.PUSH q low ID a)), 'a',
    t(qw(TASK.PUSH q high ID b PRIORITY 5 ATTEMPTS 2 BACKOFF 50 LEASE 7000)), 'b',
    t(qw(TASK.PUSH q low ID a)), 'a',
    t(qw(TASK.PUSH q low ID a NX)), 'nil');
ok('claim',
    t(qw(TASK.CLAIM q WORKER w)), '[b high 1 7000 nil]',
    t(qw(TASK.CLAIM q COUNT 9)), '[[a low 1 30000 nil]]',
    t(qw(TASK.CLAIM q)), 'nil');
my $began = time;
my $nothing = t(qw(TASK.CLAIM q BLOCK 200));
my $waited = time - $began;
t(qw(TASK.PUSH q later ID c DELAY 200));
ok('block', $nothing, 'nil', $waited > 0.15 && $waited < 5, 1, t(qw(TASK.CLAIM q BLOCK 5000)), '[c later 1 30000 nil]');
t(qw(TASK.PUSH q n ID d));
ok('next',
    t(qw(TASK.COMPLETE q c done ATTEMPT 1 NEXT BLOCK 1000)), '[d n 1 30000 nil]',
    t(qw(TASK.COMPLETE q c again ATTEMPT 1)), 'OK',
    t(qw(TASK.COMPLETE q d done ATTEMPT 1 NEXT BLOCK 100)), 'nil',
    t(qw(TASK.RESULT q c BLOCK 1000)), '[completed done]');
ok('fail',
    t(qw(TASK.FAIL q b oops ATTEMPT 1)), 'scheduled',
    t(qw(TASK.CLAIM q BLOCK 5000)), '[b high 2 7000 nil]',
    t('TASK.FAIL', 'q', 'b', 'oh no', 'ATTEMPT', 2), 'failed',
    t(qw(TASK.RESULT q b)), '[failed oh no]',
    t(qw(TASK.RETRY q b)), 1);
ok('release',
    t(qw(TASK.CLAIM q)), '[b high 3 7000 nil]',
    t(qw(TASK.RELEASE q b ATTEMPT 3)), 'OK',
    t(qw(TASK.CLAIM q)), '[b high 4 7000 nil]');
ok('extend',
    t(qw(TASK.EXTEND q b ATTEMPT 4 CHECKPOINT half)), 'OK',
    t(qw(TASK.RELEASE q b ATTEMPT 4)), 'OK',
    t(qw(TASK.CLAIM q)), '[b high 5 7000 half]');
t(qw(SET text x));
ok('errors',
    t(qw(TASK.COMPLETE q b x ATTEMPT 4)), '!STALE',
    t(qw(TASK.COMPLETE q nobody x)), '!NOTASK',
    t(qw(TASK.EXTEND q c ATTEMPT 1)), '!NOTCLAIMED',
    t(qw(TASK.PUSH text x)), '!WRONGTYPE',
    t(qw(TASK.PUSH q x COLOR red)), '!ERR',
    t(qw(TASK.CANCEL q b)), 1,
    t(qw(TASK.COMPLETE q b x ATTEMPT 5)), '!CANCELED');
print "skip array-errors: Redis.pm dies in the middle of such a reply, and its connection is of no more use\n";
t(qw(TASK.COMPLETE q a done ATTEMPT 1));
ok('gather', t(qw(TASK.GATHER q 3 c b x BLOCK 100)), '[[c completed done] [b canceled nil] [x nil nil]]');
for my $n (0 .. 2) {
    t('TASK.PUSH', 'm', $n, 'ID', "m$n", qw(BATCH maps));
    t('TASK.COMPLETE', 'm', raw('TASK.CLAIM', 'm')->[0], $n * $n, qw(ATTEMPT 1));
}
my ($cursor, $unsealed, $first) = @{ raw(qw(TASK.COLLECT m maps 0 COUNT 2)) };
my $sealed = t(qw(TASK.SEAL m maps));
my (undef, $remaining, $second) = @{ raw(qw(TASK.COLLECT m maps), $cursor, qw(BLOCK 1000)) };
ok('collect', $unsealed, -1, $sealed, 3, $remaining, 0, show([@$first, @$second]), '[[m0 completed 0] [m1 completed 1] [m2 completed 4]]');
my $every = join('', map { chr } 0 .. 255) . "\r\n";
for (['x', $every], ['y', ''], ['z', $every x 4096]) {
    my ($id, $data) = @$_;
    t('TASK.PUSH', 'bin', $data, 'ID', $id);
    my $claimed = raw('TASK.CLAIM', 'bin');
    t('TASK.COMPLETE', 'bin', $id, $data, qw(ATTEMPT 1));
    fail('binary', $id) if $claimed->[1] ne $data || raw('TASK.RESULT', 'bin', $id)->[1] ne $data;
}
ok('binary');
my %info = @{ raw('TASK.INFO', 'm') };
ok('info', $info{completed}, 3);
t(qw(TASK.PUSH s x ID s));
my $other = connection();
my $claim = 'TASK.CLAIM';
$other->$claim('s', 'SESSION');
$other->quit;
ok('session', t(qw(TASK.CLAIM s BLOCK 5000)), '[s x 2 30000 nil]');
my $own = t(qw(CLIENT ID));
t(qw(TASK.COMPLETE s s done ATTEMPT 2));
connection()->client('KILL', 'ID', $own);
my $lost = t(qw(TASK.COMPLETE s s done ATTEMPT 2));
$r = connection(); # it does not connect again by itself, unless it is made with reconnect
ok('reconnect', $lost =~ /^!/, 1, t(qw(TASK.COMPLETE s s done ATTEMPT 2)), 'OK');
my @pushed;
my $push = 'TASK.PUSH';
for my $n (0 .. 99) { $r->$push('p', $n, 'ID', "p$n", sub { push @pushed, $_[0] }) }
$r->wait_all_responses;
ok('pipeline', "@pushed", join(' ', map { "p$_" } 0 .. 99), scalar @{ raw(qw(TASK.CLAIM p COUNT 1000)) }, 100);
print 'skip resp3: Redis.pm ', Redis->VERSION, " speaks RESP2\n";
print "skip cluster: Redis.pm knows no clusters\n";
