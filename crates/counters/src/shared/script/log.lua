-- The log of a sliding_log: when requests were let through, and how many.

-- Removes what can't be read.
local function give_up(key)
  redis.log(redis.LOG_WARNING, 'tollgate: what is at ' .. key .. ' is no count and was removed')
  call('DEL', key)
end

local function log_entry(at, count)
  return pack('<dd', at, count)
end

-- When an entry's requests were let through, and how many.
local function of_entry(entry)
  return unpacked('<dd', entry)
end

-- What a log still counts of what it counted, and how many of its entries are past.
local function log_now(log, window, used)
  local batch, past = 1, 0
  while true do
    local entries = call('LRANGE', log, past, past + batch - 1)
    if #entries == 0 then return 0, past end
    for _, entry in ipairs(entries) do
      local at, count = of_entry(entry)
      if at + window > now then return max(used, 0), past end
      used, past = used - count, past + 1
    end
    batch = 64
  end
end

-- The same, of a log that may hold what is no log at all.
local function sound_log(log, window, used)
  local is_sound, left, past = pcall(log_now, log, window, used)
  if is_sound then return left, past end
  give_up(log)
  return 0, 0
end

-- Where another algorithm counted before, the log begins with its requests, as let through just now.
local function own_log(gauge)
  if not gauge.is_foreign then return end
  gauge.is_foreign = false
  call('DEL', gauge.log)
  if gauge.used > 0 then call('RPUSH', gauge.log, log_entry(now, gauge.used)) end
end
