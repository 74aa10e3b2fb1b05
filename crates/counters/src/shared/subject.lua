-- One subject's limits, decided, corrected or put back at once. All keys carry the subject as their hash tag.
--
-- KEYS  one state for each limit, in their order; behind these one log for each limit that is a sliding_log.
-- ARGV  operation, now in microseconds since the epoch (0: this server's clock), cost, times, extra, life, divisor, the
--       store's incarnation as the node sees it, which is greater with each loss;
--       then for each limit: algorithm (B bucket, F fixed window, S sliding window, L sliding log), requests, window in
--       microseconds, burst, and of days and months the period's start and end in seconds (0 0: aligned to the epoch);
--       behind these what the operation has of its own.
--   take    `times` requests that cost `cost` each, as many as pass; where all do, up to `extra` more as a slice, which
--           may be used for `life` microseconds, and is at most one `divisor`th of what is left.
--   adjust  each limit: an amount to charge over the limit too, or, negative, to give back; when it was charged.
--   put     each limit: a state that is known from before the store lost something. Of several of them the one that has
--           used most counts, and on top of it what was charged since.
-- Answer  0 (or 1: this clock is in another period than those sent, and nothing was done), requests let through,
--         slice, now, the incarnation in which the states were said before (0 where one was not there) and that in which they
--         are said now, and the state of each limit.
--
-- A state is kept as a letter and three numbers; then how much of what is used is from an earlier incarnation of the store,
-- and the incarnation in which that was said.
--
-- Numbers are doubles: whole ones are exact below 2^53. Counts stay below 2^50, instants below 2^51, windows are at most
-- 2^42 microseconds. A product of two is divided digit by digit (`mul_div`), so that nothing is ever rounded.

local COUNT_MOST = 1125899906842624 -- 2^50
local EXACT_BELOW = 9007199254740992 -- 2^53
local floor, max, min = math.floor, math.max, math.min
local operation, now = ARGV[1], tonumber(ARGV[2])
local INCARNATION, FIRST, STRIDE = tonumber(ARGV[8]), 9, 6
if operation == 'adjust' then STRIDE = 8 elseif operation == 'put' then STRIDE = 7 end
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function digits(number)
  return string.format('%.0f', number)
end

-- The quotient and the rest of a * b / m, for a <= m <= 2^42 and b < 2^50.
local function mul_div(a, b, m)
  local product = a * b
  if product < EXACT_BELOW then
    local quotient = floor(product / m)
    return quotient, product - quotient * m
  end
  local quotient, rest, unit = 0, 0, 1099511627776
  while unit >= 1 do
    local partial = rest * 1024 + a * (floor(b / unit) % 1024)
    local whole = floor(partial / m)
    quotient, rest, unit = quotient * 1024 + whole, partial - whole * m, unit / 1024
  end
  return quotient, rest
end

local function at_least_one(rest)
  if rest > 0 then return 1 end
  return 0
end

-- Tokens that come back in so many microseconds: whole ones, and the rest in parts of a window.
local function flow(micros, gauge)
  local windows = floor(micros / gauge.window)
  local whole, rest = mul_div(micros - windows * gauge.window, gauge.requests, gauge.window)
  return windows * gauge.requests + whole, rest
end

local function less(whole, rest, by_whole, by_rest, window)
  whole, rest = whole - by_whole, rest - by_rest
  if rest < 0 then whole, rest = whole - 1, rest + window end
  if whole < 0 then return 0, 0 end
  return whole, rest
end

local function add(count, more)
  return min(COUNT_MOST, count + more)
end

local function aligned_end(gauge)
  local secs = gauge.window / 1000000
  local now_secs = floor(now / 1000000)
  return now_secs - now_secs % secs + secs
end

local function parse(text)
  if not text then return nil end
  local tag, x, y, z, earlier, said_in = string.match(text, '^(%a) (%d+) (%d+) (%d+) ?(%d*) ?(%d*)$')
  return tag, tonumber(x), tonumber(y), tonumber(z), tonumber(earlier), tonumber(said_in)
end

-- What a bucket still misses, and as of when.
local function bucket_now(gauge, whole, rest, at)
  if now <= at then return whole, rest, at end
  local back, back_rest = flow(now - at, gauge)
  whole, rest = less(whole, rest, back, back_rest, gauge.window)
  return whole, rest, now
end

local function sliding_now(gauge, ends, previous, current)
  local secs, now_secs = gauge.window / 1000000, floor(now / 1000000)
  if now_secs < ends then return ends, previous, current end
  if now_secs < ends + secs then return ends + secs, current, 0 end
  return aligned_end(gauge), 0, 0
end

local function weighted(gauge, ends, previous, current)
  local share = min(max(ends * 1000000 - now, 0), gauge.window)
  local whole, rest = mul_div(share, previous, gauge.window)
  return current + whole + at_least_one(rest)
end

-- What a log still counts of what it counted, and how many of its entries are past.
local function log_now(log, window, used)
  local batch, past = 1, 0
  while true do
    local entries = redis.call('LRANGE', log, past, past + batch - 1)
    if #entries == 0 then return 0, past end
    for _, entry in ipairs(entries) do
      local at, count = string.match(entry, '^(%d+):(%d+)$')
      if at + window > now then return max(used, 0), past end
      used, past = used - count, past + 1
    end
    batch = 64
  end
end

-- The requests that another algorithm's state stands for now.
local function used_before(gauge, tag, x, y, z)
  if tag == 'B' then
    local whole, rest = bucket_now(gauge, x, y, z)
    return whole + at_least_one(rest)
  elseif tag == 'F' then
    if now < y * 1000000 then return z end
  elseif tag == 'S' then
    return weighted(gauge, sliding_now(gauge, x, y, z))
  elseif tag == 'L' then
    return (log_now(gauge.key .. ':log', gauge.window, x))
  end
  return 0
end

-- Where another algorithm counted before, the log begins with its requests, as let through just now.
local function own_log(gauge)
  if not gauge.is_foreign then return end
  gauge.is_foreign = false
  redis.call('DEL', gauge.log)
  if gauge.used > 0 then redis.call('RPUSH', gauge.log, digits(now) .. ':' .. digits(gauge.used)) end
end

local function charge(gauge, count, at)
  if gauge.kind == 'B' then
    gauge.whole = add(gauge.whole, count)
  elseif gauge.kind == 'F' then
    gauge.used = add(gauge.used, count)
  elseif gauge.kind == 'S' then
    gauge.current = add(gauge.current, count)
  elseif count > 0 then
    own_log(gauge)
    gauge.last = max(gauge.last, at)
    gauge.used = add(gauge.used, count)
    redis.call('RPUSH', gauge.log, digits(gauge.last) .. ':' .. digits(count))
  end
end

-- A slice's tokens flow back only once its life is over: the bucket is never taken as fuller than it would be then.
local function floored(whole, rest, life, gauge)
  local least, least_rest = flow(life, gauge)
  if whole > least or (whole == least and rest > least_rest) then return whole, rest end
  return least, least_rest
end

-- Takes requests of a log out again: of those charged at `at` or later the earliest, which would be past first.
local function give_back_logged(gauge, count, at)
  local size = redis.call('LLEN', gauge.log)
  local index = size
  while index > 0 do
    local logged = string.match(redis.call('LINDEX', gauge.log, index - 1), '^(%d+):')
    if tonumber(logged) < at then break end
    index = index - 1
  end
  while index < size and count > 0 do
    local logged, held = string.match(redis.call('LINDEX', gauge.log, index), '^(%d+):(%d+)$')
    local back = min(count, tonumber(held))
    gauge.used, count = max(gauge.used - back, 0), count - back
    if back < tonumber(held) then
      redis.call('LSET', gauge.log, index, logged .. ':' .. digits(held - back))
      index = index + 1
    else
      redis.call('LSET', gauge.log, index, 'gone')
      redis.call('LREM', gauge.log, 1, 'gone')
      size = size - 1
    end
  end
  local last = redis.call('LINDEX', gauge.log, -1)
  if last then gauge.last = tonumber(string.match(last, '^(%d+):')) end
end

local function give_back(gauge, count, at)
  if gauge.kind == 'B' then
    local whole, rest = count, 0
    if gauge.at > at then
      local back, back_rest = flow(gauge.at - at, gauge)
      whole, rest = less(whole, rest, back, back_rest, gauge.window)
    end
    gauge.whole, gauge.rest = less(gauge.whole, gauge.rest, whole, rest, gauge.window)
  elseif gauge.kind == 'F' then
    if floor(at / 1000000) >= gauge.starts then gauge.used = max(gauge.used - count, 0) end
  elseif gauge.kind == 'S' then
    if floor(at / 1000000) >= gauge.ends - gauge.window / 1000000 then
      gauge.current = max(gauge.current - count, 0)
    end
  else
    give_back_logged(gauge, count, at)
  end
end

local function state(gauge)
  if gauge.kind == 'B' then
    return 'B ' .. digits(gauge.whole) .. ' ' .. digits(gauge.rest) .. ' ' .. digits(gauge.at)
  elseif gauge.kind == 'F' then
    return 'F ' .. digits(gauge.starts) .. ' ' .. digits(gauge.ends) .. ' ' .. digits(gauge.used)
  elseif gauge.kind == 'S' then
    return 'S ' .. digits(gauge.ends) .. ' ' .. digits(gauge.previous) .. ' ' .. digits(gauge.current)
  end
  return 'L ' .. digits(gauge.used) .. ' ' .. digits(gauge.last) .. ' 0'
end

-- Whole requests that a gauge counts.
local function total(gauge)
  if gauge.kind == 'B' then return gauge.whole end
  if gauge.kind == 'S' then return gauge.current end
  return gauge.used
end

-- Until when a state means anything, in milliseconds.
local function over_at(gauge)
  if gauge.kind == 'B' then
    local missing = gauge.whole * gauge.window + gauge.rest
    return floor((gauge.at + missing / gauge.requests) / 1000) + 2
  elseif gauge.kind == 'F' then
    return gauge.ends * 1000
  elseif gauge.kind == 'S' then
    if gauge.current > 0 then return gauge.ends * 1000 + gauge.window / 1000 end
    return gauge.ends * 1000
  end
  return floor((gauge.last + gauge.window) / 1000) + 1
end

local function is_unused(gauge)
  if gauge.kind == 'B' then return gauge.whole == 0 and gauge.rest == 0 end
  if gauge.kind == 'L' then return gauge.used == 0 end
  return false
end

local function save(gauge)
  if is_unused(gauge) then
    redis.call('DEL', gauge.key)
    if gauge.log then redis.call('DEL', gauge.log) end
    return
  end
  local ends = digits(over_at(gauge))
  local earlier = digits(min(gauge.earlier, total(gauge)))
  redis.call('SET', gauge.key, state(gauge) .. ' ' .. earlier .. ' ' .. digits(gauge.said_in), 'PXAT', ends)
  if gauge.log then redis.call('PEXPIREAT', gauge.log, ends) end
end

-- What a caller that waits is told of a log that refused: how many requests have to be past, and when the last of
-- them was let through.
local function awaited(gauge, cost)
  local enough = gauge.used + cost - gauge.requests
  if cost > gauge.requests or enough <= 0 then return state(gauge) end
  local through, from = 0, 0
  while true do
    local entries = redis.call('LRANGE', gauge.log, from, from + 63)
    if #entries == 0 then return state(gauge) end
    for _, entry in ipairs(entries) do
      local at, count = string.match(entry, '^(%d+):(%d+)$')
      through = through + count
      if through >= enough then
        return 'L ' .. digits(gauge.used) .. ' ' .. digits(gauge.last) .. ' ' .. digits(through) .. ' ' .. at
      end
    end
    from = from + #entries
  end
end

-- Counts what is known from an earlier incarnation, as far as it is more than what is counted of that already.
local function put(gauge, tag, x, y, z)
  if tag ~= gauge.kind then return end
  local known = x
  if gauge.kind == 'B' then
    local rest
    known, rest = bucket_now(gauge, x, y, z)
    if known >= gauge.earlier then gauge.rest = max(gauge.rest, rest) end
  elseif gauge.kind == 'F' then
    if now >= y * 1000000 then return end
    if gauge.is_elsewhen or not gauge.is_stored then gauge.starts, gauge.ends = x, y end
    gauge.is_elsewhen, known = false, z
  elseif gauge.kind == 'S' then
    local ends, previous, current = sliding_now(gauge, x, y, z)
    if ends < gauge.ends then return end
    if ends > gauge.ends then gauge.previous, gauge.current, gauge.earlier = 0, 0, 0 end
    gauge.ends, gauge.previous, known = ends, max(gauge.previous, previous), current
  elseif now >= y + gauge.window then
    return
  end
  if known > gauge.earlier then
    charge(gauge, known - gauge.earlier, y)
    gauge.earlier = known
  end
end

local function read(index, text, log)
  local first = FIRST + (index - 1) * STRIDE
  local gauge = {
    kind = ARGV[first],
    requests = tonumber(ARGV[first + 1]),
    window = tonumber(ARGV[first + 2]),
    burst = tonumber(ARGV[first + 3]),
    starts = tonumber(ARGV[first + 4]),
    ends = tonumber(ARGV[first + 5]),
    first_of_own = ARGV[first + 6],
    second_of_own = ARGV[first + 7],
    key = KEYS[index],
  }
  local tag, x, y, z, earlier, said_in = parse(text)
  -- What is over of a count takes of what is from earlier first.
  local counted = x
  gauge.is_stored, gauge.earlier = tag ~= nil, 0
  if gauge.kind == 'B' then
    if tag == 'B' then
      gauge.whole, gauge.rest, gauge.at = bucket_now(gauge, x, y, z)
    else
      gauge.whole, gauge.rest, gauge.at = used_before(gauge, tag, x, y, z), 0, now
    end
    gauge.left = gauge.burst - gauge.whole - at_least_one(gauge.rest)
  elseif gauge.kind == 'F' then
    if tag == 'F' and now < y * 1000000 then
      -- A period that runs stays in force until its own end.
      gauge.starts, gauge.ends, gauge.used, counted = x, y, z, z
    else
      gauge.used = used_before(gauge, tag, x, y, z)
      if gauge.ends == 0 then
        gauge.ends = aligned_end(gauge)
        gauge.starts = gauge.ends - gauge.window / 1000000
      else
        gauge.is_elsewhen = now < gauge.starts * 1000000 or now >= gauge.ends * 1000000
      end
    end
    gauge.left = gauge.requests - gauge.used
  elseif gauge.kind == 'S' then
    if tag == 'S' then
      gauge.ends, gauge.previous, gauge.current = sliding_now(gauge, x, y, z)
      counted = z
    else
      gauge.ends, gauge.previous, gauge.current = aligned_end(gauge), 0, used_before(gauge, tag, x, y, z)
    end
    gauge.left = gauge.requests - weighted(gauge, gauge.ends, gauge.previous, gauge.current)
  else
    gauge.log = log
    if tag == 'L' then
      local past
      gauge.used, past = log_now(log, gauge.window, x)
      gauge.last = y
      gauge.is_past = past > 0 and past
    else
      gauge.is_foreign = true
      gauge.used = used_before(gauge, tag, x, y, z)
      gauge.last = gauge.used > 0 and now or 0
    end
    gauge.left = gauge.requests - gauge.used
  end
  -- A node that has not noticed yet says what an earlier incarnation said; that of the state holds.
  gauge.was_said_in = said_in or 0
  gauge.said_in = max(INCARNATION, gauge.was_said_in)
  if tag and (gauge.was_said_in < INCARNATION or tag ~= gauge.kind) then
    gauge.earlier = total(gauge)
  elseif tag then
    gauge.earlier = max(0, earlier - max(0, counted - total(gauge)))
  end
  if gauge.is_past then
    redis.call('LTRIM', log, gauge.is_past, -1)
    save(gauge)
  end
  return gauge
end

local limits, logs = 0, 0
while ARGV[FIRST + limits * STRIDE] do limits = limits + 1 end
local texts, gauges = redis.call('MGET', unpack(KEYS, 1, limits)), {}
for index = 1, limits do
  local log
  if ARGV[FIRST + (index - 1) * STRIDE] == 'L' then
    logs = logs + 1
    log = KEYS[limits + logs]
  end
  gauges[index] = read(index, texts[index], log)
end

local function answer(admitted, slice, tell)
  local told, said_in = { 0, admitted, slice, now, 0, 0 }, EXACT_BELOW
  for index, gauge in ipairs(gauges) do
    told[6 + index] = tell(gauge)
    said_in = min(said_in, gauge.was_said_in)
    told[6] = max(told[6], gauge.said_in)
  end
  told[5] = said_in
  return told
end

if operation == 'take' then
  local cost, times, extra = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local life, divisor = tonumber(ARGV[6]), tonumber(ARGV[7])
  local left = COUNT_MOST
  for _, gauge in ipairs(gauges) do
    if gauge.is_elsewhen then return { 1, 0, 0, now, 0, 0 } end
    left = min(left, gauge.left)
  end
  local admitted = min(times, max(0, floor(left / cost)))
  local used, slice = admitted * cost, 0
  if admitted == times and extra > 0 then
    local room = COUNT_MOST
    for _, gauge in ipairs(gauges) do
      local left_behind = gauge.left - used
      if gauge.kind == 'B' then
        local whole, rest = floored(gauge.whole + used, gauge.rest, life, gauge)
        left_behind = gauge.burst - whole - at_least_one(rest)
      end
      room = min(room, left_behind)
    end
    slice = max(0, min(extra, floor(room / divisor)))
  end
  if used + slice > 0 then
    for _, gauge in ipairs(gauges) do
      charge(gauge, used, now)
      if slice > 0 then
        if gauge.kind == 'B' then
          gauge.whole, gauge.rest = floored(gauge.whole, gauge.rest, life, gauge)
        end
        charge(gauge, slice, now + life)
      end
      save(gauge)
    end
  end
  if admitted < times then
    return answer(admitted, slice, function(gauge)
      if gauge.kind == 'L' and not gauge.is_foreign then return awaited(gauge, cost) end
      return state(gauge)
    end)
  end
  return answer(admitted, slice, state)
end

for _, gauge in ipairs(gauges) do
  if operation == 'adjust' then
    local amount, at = tonumber(gauge.first_of_own), tonumber(gauge.second_of_own)
    if amount > 0 and not gauge.is_elsewhen then
      charge(gauge, amount, now)
      save(gauge)
    elseif amount < 0 and gauge.is_stored and not gauge.is_foreign then
      give_back(gauge, -amount, at)
      save(gauge)
    end
  else
    put(gauge, parse(gauge.first_of_own))
    if not gauge.is_elsewhen then save(gauge) end
  end
end
return answer(0, 0, state)
