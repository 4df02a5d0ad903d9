-- For redis_exporter: `redis_exporter -script queues.lua` has each value as redis_script_values{key="mail ready"}.
-- Not for a cluster, where a script may not read keys that it was not given: there take ../python/metrics.py, node by node.
local values = {}
local function add(queue, field, value)
  values[#values + 1] = queue .. ' ' .. field
  values[#values + 1] = tostring(value)
end
local cursor, seen = '0', {}
repeat
  local page = redis.call('SCAN', cursor, 'TYPE', 'taskqueue', 'COUNT', 1000)
  cursor = page[1]
  for _, queue in ipairs(page[2]) do
    if not seen[queue] then
      seen[queue] = true
      local info = cjson.decode(redis.call('TASK.INFO', queue, 'JSON'))
      for _, field in ipairs({'waiting', 'scheduled', 'ready', 'claimed', 'completed', 'failed', 'oldest-ready-ms', 'memory'}) do
        add(queue, field, type(info[field]) == 'number' and info[field] or 0)
      end
      for event, count in pairs(info.totals) do
        add(queue, 'total ' .. event, count)
      end
    end
  end
until cursor == '0'
return values
