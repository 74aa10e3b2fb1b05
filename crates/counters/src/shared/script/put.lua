-- Puts back what a node knows from before the store lost something. Of several nodes the one that has counted most counts, and
-- on top of it what was charged since.
--
-- ARGV  behind what each limit has for all operations: the letter and the numbers of a record, where something is known.

-- Counts what is known from an earlier incarnation, as far as it is more than what is counted of that already.
local function put(gauge, tag, x, y, z)
  if tag ~= gauge.kind then return end
  local from_before = x
  if gauge.kind == 'B' then
    local rest
    from_before, rest = bucket_now(gauge, x, y, z)
    -- It stands still until then, as slices of it are out, whatever else is charged.
    if z > now then gauge.at, gauge.stands_still = max(gauge.at, z), true end
    if from_before >= gauge.earlier then gauge.rest = max(gauge.rest, rest) end
  elseif gauge.kind == 'F' then
    if now_secs >= y then return end
    if gauge.is_elsewhen or not gauge.found then gauge.starts, gauge.ends = x, y end
    gauge.is_elsewhen, from_before = false, z
  elseif gauge.kind == 'S' then
    local ends, previous, current = sliding_now(gauge, x, y, z)
    if ends < gauge.ends then return end
    if ends > gauge.ends then gauge.previous, gauge.used, gauge.earlier = 0, 0, 0 end
    gauge.ends, gauge.previous, from_before = ends, max(gauge.previous, previous), current
  elseif now >= y + gauge.window then
    return
  end
  if from_before > gauge.earlier then
    charge(gauge, from_before - gauge.earlier, y)
    gauge.earlier = from_before
  end
end

read_all(by_limit)
for index, gauge in ipairs(gauges) do
  local limit = ARGV[1 + index]
  if OWN_OF_LIMIT <= #limit then
    local tag, x, y, z = unpacked('<c1ddd', limit, OWN_OF_LIMIT)
    put(gauge, tag, x, y, z)
  end
  if not gauge.is_elsewhen then
    gauge.is_changed = true
    -- Kept as what this limit counts, whoever counted it before.
    if gauge.log then own_log(gauge) end
  end
end
return answer(0, 0, save())
