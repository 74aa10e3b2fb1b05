-- Lets requests through, as many as pass all limits, and grants a slice.
--
-- ARGV  behind the numbers that all operations have: what a request costs; how many there are; where all pass, how many units
--       more at most are granted as a slice; for how many microseconds that may be used; and it is at most one so-manieth of
--       what is left.

read_all(by_limit)
local cost, times, extra, life, divisor = unpacked('<ddddd', ARGV[1], own)

-- A slice's tokens flow back only once its life is over: the bucket is never taken as fuller than it would be then.
local function floored(whole, rest, gauge)
  local least, least_rest = flow(life, gauge)
  if whole > least or (whole == least and rest > least_rest) then return whole, rest end
  return least, least_rest
end

-- What a caller that waits is told of a log that refused: how many requests have to be past, and when the last of
-- them was let through.
local function awaited(gauge, own_record)
  local enough = gauge.used + cost - gauge.requests
  if cost > gauge.requests or enough <= 0 then return own_record end
  local through, from = 0, 0
  while true do
    local entries = call('LRANGE', gauge.log, from, from + 63)
    if #entries == 0 then return own_record end
    for _, entry in ipairs(entries) do
      local at, count = of_entry(entry)
      through = through + count
      if through >= enough then
        return pack(RECORD, gauge.name, 'A', gauge.used, gauge.last, through, at, gauge.said_in, 0)
      end
    end
    from = from + #entries
  end
end

local left, is_elsewhen = COUNT_MOST, false
for index = 1, #gauges do
  local gauge = gauges[index]
  if gauge.is_elsewhen then is_elsewhen = true end
  if gauge.left < left then left = gauge.left end
end
if is_elsewhen then
  save()
  return pack('<dddddd', 1, 0, 0, now, 0, 0)
end
local admitted = 0
if left > 0 then admitted = min(times, (left - left % cost) / cost) end
local used, slice = admitted * cost, 0
if admitted == times and extra > 0 then
  local room = COUNT_MOST
  for _, gauge in ipairs(gauges) do
    local left_behind = gauge.left - used
    if gauge.kind == 'B' then
      local whole, rest = floored(gauge.used + used, gauge.rest, gauge)
      left_behind = gauge.burst - whole - at_least_one(rest)
    end
    room = min(room, left_behind)
  end
  slice = max(0, min(extra, (room - room % divisor) / divisor))
end
if used + slice > 0 then
  for index = 1, #gauges do
    local gauge = gauges[index]
    charge(gauge, used, now)
    if slice > 0 then
      if gauge.kind == 'B' then
        gauge.used, gauge.rest = floored(gauge.used, gauge.rest, gauge)
      end
      charge(gauge, slice, now + life)
    end
  end
end
local records = save()
if admitted < times then
  for index, gauge in ipairs(gauges) do
    if gauge.log and not gauge.is_foreign then records[index] = awaited(gauge, records[index]) end
  end
end
return answer(admitted, slice, records)
