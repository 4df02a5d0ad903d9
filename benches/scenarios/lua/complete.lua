-- KEYS: claimed zset; ARGV: id, attempt (the fencing token), result, seconds to keep it
local key = 'q:t:' .. ARGV[1]
if redis.call('HGET', key, 'n') ~= ARGV[2] then return 'STALE' end
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 'STALE' end
redis.call('HDEL', key, 'p')
redis.call('HSET', key, 'r', ARGV[3])
redis.call('EXPIRE', key, ARGV[4])
return 'OK'
