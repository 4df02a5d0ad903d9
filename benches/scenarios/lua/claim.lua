-- KEYS: ready list, claimed zset, delayed zset; ARGV: lease in ms
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- tasks whose lease ran out, then tasks that came due, are ready again (at most 10 of each a call)
for k = 2, 3 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', now, 'LIMIT', 0, 10)
  for _, id in ipairs(due) do
    redis.call('ZREM', KEYS[k], id)
    redis.call('RPUSH', KEYS[1], id)
  end
end
local id = redis.call('RPOP', KEYS[1])
if not id then return nil end
redis.call('ZADD', KEYS[2], now + ARGV[1], id)
local attempt = redis.call('HINCRBY', 'q:t:' .. id, 'n', 1)
return {id, tostring(attempt), redis.call('HGET', 'q:t:' .. id, 'p')}
