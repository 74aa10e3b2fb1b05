-- Charges more than was charged, over the limits too, or gives back.
--
-- ARGV  behind the numbers that all operations have: the incarnation that has to say a count for something to be given back there,
--       or 0; behind what each limit has for all operations: the amount, below 0 to give back; when it was charged; and of a
--       bucket what it missed right after that, on top of all that was given back to it before, or 0 where that is not known.

-- Takes requests of a log out again: of those charged at `at` or later the earliest, which would be past first. Where they
-- are past themselves, all that is left are other requests.
local function give_back_logged(gauge, count, at)
  if at <= gauge.past_to then return end
  local size = call('LLEN', gauge.log)
  local index = size
  while index > 0 do
    if of_entry(call('LINDEX', gauge.log, index - 1)) < at then break end
    index = index - 1
  end
  while index < size and count > 0 do
    local logged, held = of_entry(call('LINDEX', gauge.log, index))
    local back = min(count, held)
    gauge.used, count = max(gauge.used - back, 0), count - back
    if back < held then
      call('LSET', gauge.log, index, log_entry(logged, held - back))
      index = index + 1
    else
      call('LSET', gauge.log, index, 'gone')
      call('LREM', gauge.log, 1, 'gone')
      size = size - 1
    end
  end
  local last = call('LINDEX', gauge.log, -1)
  if last then gauge.last = of_entry(last) end
end

-- A bucket gets back what would not have come back by itself. Without the charge it would be fuller by all of it, but for what
-- would not have found room: no more than has flowed since, less what was missing besides and was not given back since.
local function give_back_tokens(gauge, count, at, depth)
  local whole, rest, flowed_to = count, 0, gauge.at
  if gauge.stands_still then flowed_to = min(flowed_to, now) end
  if flowed_to > at then
    local over, over_rest = flow(flowed_to - at, gauge)
    local besides = max(depth - gauge.returned - count, 0)
    over, over_rest = less(over, over_rest, besides, 0, gauge.window)
    whole, rest = less(whole, rest, over, over_rest, gauge.window)
  end
  gauge.used, gauge.rest = less(gauge.used, gauge.rest, whole, rest, gauge.window)
  gauge.returned = gauge.returned + count
end

local function give_back(gauge, count, at, depth)
  gauge.is_changed = true
  if gauge.kind == 'B' then
    give_back_tokens(gauge, count, at, depth)
  elseif gauge.kind == 'F' then
    if at >= gauge.starts * 1000000 then gauge.used = max(gauge.used - count, 0) end
  elseif gauge.kind == 'S' then
    if at >= gauge.ends * 1000000 - gauge.window then gauge.used = max(gauge.used - count, 0) end
  else
    give_back_logged(gauge, count, at)
  end
end

-- The limits may have been edited since the charge that is corrected, and then it is the edit that holds.
read_all(by_count)
local only_in = unpacked('<d', ARGV[1], own)
for index, gauge in ipairs(gauges) do
  local amount, at, depth = unpacked('<ddd', ARGV[1 + index], OWN_OF_LIMIT)
  if amount > 0 and not gauge.is_elsewhen then
    charge(gauge, amount, now)
  elseif amount < 0 and gauge.found and not gauge.is_foreign and (only_in == 0 or gauge.was_said_in == only_in) then
    give_back(gauge, -amount, at, depth)
  end
end
return answer(0, 0, save())
