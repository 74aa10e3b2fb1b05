-- Lets requests through, as many as pass all limits, and grants a slice.
--
-- ARGV  behind the numbers that all operations have: what a request costs; how many there are; where all pass, how many units
--       more at most are granted as a slice; for how many microseconds that may be used; and it is at most one so-manieth of
--       what is left.

read_all(by_limit)
local cost, times, extra, life, divisor = unpacked('<ddddd', ARGV[1], own)

-- A slice may be used at the end of its life, and only from then on do its tokens flow back. So the bucket stands still
-- until what it misses besides is back just at that end: at no instant is it fuller than if the slice were used then.
local function stand_still(gauge)
  local least, least_rest = flow(life, gauge)
  if gauge.used > least or gauge.used == least and gauge.rest >= least_rest then return end
  -- The division may round: by less than a microsecond, as this is less than a life.
  local micros = max((gauge.used * gauge.window + gauge.rest) / gauge.requests - 1, 0)
  gauge.at = max(gauge.at, now + life - (micros - micros % 1))
  gauge.stands_still = true
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
        return pack(RECORD, gauge.name, 'A', gauge.used, gauge.last, through, at, gauge.said_in, 0, 0)
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
  return pack('<ddddd', 1, 0, 0, now, 0)
end
local admitted = 0
if left > 0 then admitted = min(times, (left - left % cost) / cost) end
local used, slice = admitted * cost, 0
if admitted == times and extra > 0 then
  local room = COUNT_MOST
  for _, gauge in ipairs(gauges) do room = min(room, gauge.left - used) end
  slice = max(0, min(extra, (room - room % divisor) / divisor))
end
if used + slice > 0 then
  for index = 1, #gauges do
    local gauge = gauges[index]
    -- Without what is charged besides: that may be given back before the slice is used.
    if slice > 0 and gauge.kind == 'B' then stand_still(gauge) end
    charge(gauge, used, now)
    if slice > 0 then charge(gauge, slice, now + life) end
  end
end
local records = save()
if admitted < times then
  for index, gauge in ipairs(gauges) do
    if gauge.log and not gauge.is_foreign then records[index] = awaited(gauge, records[index]) end
  end
end
return answer(admitted, slice, records)
