-- The limits as gauges: what each has counted by now, and what is left of it.

-- A limit as it is sent, and what is kept of it.
local LIMIT, RECORD, RECORD_SIZE = '<dc1ddddd', '<dc1ddddddd', 65
-- What a state begins with: by chance nobody else's does, of as many bytes as some records have.
local MARK = 'tgat'
-- As in the core: a bucket is kept until it would be full at so-manieth of its rate, which may be lowered meanwhile; a period
-- longer than it takes to fill at the most.
local SLOWER_AT_MOST = 10
-- Where what an operation has of its own begins in a limit.
local OWN_OF_LIMIT = 50

-- What somebody else has written there is no count: it is as good as lost, and nobody else's count suffers for it.
local state = redis.pcall('GET', KEYS[1]) or MARK
if type(state) == 'string' and string.sub(state, 1, #MARK) == MARK and (#state - #MARK) % RECORD_SIZE == 0 then
  state = string.sub(state, #MARK + 1)
else
  give_up(KEYS[1])
  state = ''
end
local gauges = {}
-- Over all of them.
local said_in = incarnation

local function log_key(name)
  return KEYS[1] .. string.format(':%.0f:log', name)
end

-- Until when a bucket is kept that misses so much, in milliseconds; 0 where it is full.
local function bucket_kept_until(gauge, whole, rest, at)
  if whole == 0 and rest == 0 then return 0 end
  local missing = whole * gauge.window + rest
  local slower = missing / max(gauge.requests / SLOWER_AT_MOST, 1)
  local until_millis = (at + min(slower, missing / gauge.requests + gauge.window)) / 1000
  return min(until_millis - until_millis % 1 + 2, COUNT_MOST)
end

-- The requests that another algorithm's state stands for now.
local function used_before(gauge, tag, x, y, z)
  if tag == 'B' then
    local whole, rest = bucket_now(gauge, x, y, z)
    return whole + at_least_one(rest)
  elseif tag == 'F' then
    if now_secs < y then return z end
  elseif tag == 'S' then
    return weighted(gauge, sliding_now(gauge, x, y, z))
  elseif tag == 'L' then
    return (sound_log(log_key(gauge.name), gauge.window, x))
  end
  return 0
end

-- Where the record of a limit is that does not stand where the limit stands.
local function find(name)
  for at = 1, #state, RECORD_SIZE do
    if unpacked('<d', state, at) == name then return at end
  end
end

-- Which algorithm's gauge a limit is read as: its own ...
local function by_limit(kind)
  return kind
end

-- ... or the one whose count there is.
local function by_count(kind, tag, y)
  if not tag or tag == 'F' and now_secs >= y then return kind end
  return tag
end

-- Each gauge has counted `used` requests, whatever its kind: a bucket misses as many, and a `rest`, as of `at`.
local function read(index, algorithm_of)
  local name, kind, requests, window, burst, starts, ends = unpacked(LIMIT, ARGV[1 + index])
  local found = 1 + (index - 1) * RECORD_SIZE
  local kept_name, tag, x, y, z, earlier, its_said_in, kept_until, returned
  if found < #state then
    kept_name, tag, x, y, z, earlier, its_said_in, kept_until, returned = unpacked(RECORD, state, found)
  end
  if kept_name ~= name then
    found, tag, its_said_in = find(name), nil, nil
    if found then
      kept_name, tag, x, y, z, earlier, its_said_in, kept_until, returned = unpacked(RECORD, state, found)
    end
  end
  local stands_still = tag == 'W'
  if stands_still then tag = 'B' end
  kind = algorithm_of(kind, tag, y)
  -- As many fields as a table has room for without growing.
  local gauge = {
    name = name, kind = kind, requests = requests, window = window, burst = burst, starts = starts, ends = ends,
    found = found, earlier = 0, was_said_in = 0, said_in = incarnation, left = 0, used = 0, rest = 0, at = now, is_changed = false,
    returned = 0,
  }
  -- What is over of a count takes of what is from earlier first.
  local counted = x
  if kind == 'B' then
    if tag == 'B' and algorithm_of == by_count and bucket_kept_until(gauge, x, y, z) ~= kept_until then
      -- What has come back since its last charge came at another rate than this limit's.
      gauge.used, gauge.rest, gauge.at, gauge.kept_until = x, y, z, kept_until
    elseif tag == 'B' then
      gauge.used, gauge.rest, gauge.at = bucket_now(gauge, x, y, z)
    else
      gauge.used = used_before(gauge, tag, x, y, z)
    end
    if stands_still then gauge.stands_still = true end
    -- A new one begins above whatever one before it has come to, as long as no more than one was given back a microsecond.
    gauge.returned = tag == 'B' and returned or now
    gauge.left = burst - gauge.used - at_least_one(gauge.rest)
  elseif kind == 'F' then
    if tag == 'F' and now_secs < y then
      -- A period that runs stays in force until its own end.
      gauge.starts, gauge.ends, gauge.used, counted = x, y, z, z
    else
      gauge.used = used_before(gauge, tag, x, y, z)
      if ends == 0 then
        gauge.ends = aligned_end(window)
        gauge.starts = gauge.ends - window / 1000000
      else
        gauge.is_elsewhen = now_secs < starts or now_secs >= ends
      end
    end
    gauge.left = requests - gauge.used
  elseif kind == 'S' then
    if tag == 'S' then
      gauge.ends, gauge.previous, gauge.used = sliding_now(gauge, x, y, z)
      counted = z
    else
      gauge.ends, gauge.previous, gauge.used = aligned_end(window), 0, used_before(gauge, tag, x, y, z)
    end
    gauge.left = requests - weighted(gauge, gauge.ends, gauge.previous, gauge.used)
  else
    gauge.log, gauge.past_to = log_key(name), now - window
    if tag == 'L' then
      local past
      gauge.used, past = sound_log(gauge.log, window, x)
      -- What is dropped stays so when the clock steps back.
      gauge.last, gauge.past_to = y, max(gauge.past_to, z)
      if past > 0 then
        call('LTRIM', gauge.log, past, -1)
        gauge.is_changed = true
      end
    else
      gauge.is_foreign = true
      gauge.used = used_before(gauge, tag, x, y, z)
      gauge.last = gauge.used > 0 and now or 0
    end
    gauge.left = requests - gauge.used
  end
  -- A node that has not noticed yet says what an earlier incarnation said; that of the state holds.
  if tag then
    if its_said_in > incarnation then gauge.said_in = its_said_in end
    if its_said_in < incarnation or tag ~= kind then
      gauge.earlier = gauge.used
    elseif earlier > 0 then
      gauge.earlier = max(0, earlier - max(0, counted - gauge.used))
    end
  end
  gauge.was_said_in = its_said_in or 0
  said_in = max(said_in, gauge.said_in)
  gauges[index] = gauge
end

local function charge(gauge, count, at)
  gauge.is_changed = true
  if gauge.log and count > 0 then
    own_log(gauge)
    gauge.last = max(gauge.last, at)
    call('RPUSH', gauge.log, log_entry(gauge.last, count))
  end
  gauge.used = add(gauge.used, count)
end

-- A gauge's record, and until when it means anything: 0 where nothing is used.
local function record(gauge)
  local kind, until_millis = gauge.kind, 0
  local x, y, z
  if kind == 'B' then
    x, y, z = gauge.used, gauge.rest, gauge.at
    until_millis = bucket_kept_until(gauge, x, y, z)
    if gauge.stands_still and z > now then kind = 'W' end
    if until_millis > 0 and gauge.kept_until then until_millis = max(until_millis, gauge.kept_until) end
  elseif kind == 'F' then
    x, y, z = gauge.starts, gauge.ends, gauge.used
    until_millis = y * 1000
  elseif kind == 'S' then
    x, y, z = gauge.ends, gauge.previous, gauge.used
    until_millis = x * 1000
    if z > 0 then until_millis = until_millis + gauge.window / 1000 end
  else
    x, y, z = gauge.used, gauge.last, gauge.past_to
    if x > 0 then
      until_millis = (y + gauge.window) / 1000
      until_millis = until_millis - until_millis % 1 + 1
    end
  end
  local earlier = gauge.earlier
  if earlier > gauge.used then earlier = gauge.used end
  return pack(RECORD, gauge.name, kind, x, y, z, earlier, gauge.said_in, until_millis, gauge.returned), until_millis
end

-- Puts the records that are not changed behind those that are, as far as they mean anything.
local function keep_unchanged(kept, ends)
  for at = 1, #state, RECORD_SIZE do
    local _, _, _, _, _, _, _, until_millis = unpacked(RECORD, state, at)
    local is_kept = until_millis * 1000 > now
    for _, gauge in ipairs(gauges) do
      if gauge.is_changed and gauge.found == at then is_kept = false end
    end
    if is_kept then
      kept[#kept + 1] = string.sub(state, at, at + RECORD_SIZE - 1)
      ends = max(ends, until_millis)
    end
  end
  return ends
end

-- Keeps what is changed, and gives all limits' records.
local function save()
  local records, kept, ends, changed, replaced = {}, {}, 0, 0, 0
  for index = 1, #gauges do
    local gauge = gauges[index]
    local own_record, until_millis = record(gauge)
    records[index] = own_record
    if gauge.is_changed then
      changed = changed + 1
      if gauge.found then replaced = replaced + RECORD_SIZE end
      if until_millis > 0 then
        kept[#kept + 1] = own_record
        if until_millis > ends then ends = until_millis end
        if gauge.log then call('PEXPIREAT', gauge.log, until_millis) end
      elseif gauge.log then
        call('DEL', gauge.log)
      end
    end
  end
  if changed == 0 then return records end
  if replaced < #state then ends = keep_unchanged(kept, ends) end
  if #kept > 0 then
    call('SET', KEYS[1], MARK .. table.concat(kept), 'PXAT', ends)
  else
    call('DEL', KEYS[1])
  end
  return records
end

local function answer(admitted, slice, records)
  for index = 1, #gauges do records[#gauges + index] = pack('<d', gauges[index].was_said_in) end
  return pack('<ddddd', 0, admitted, slice, now, said_in) .. table.concat(records)
end

local function read_all(algorithm_of)
  for index = 1, #ARGV - 1 do read(index, algorithm_of) end
end
