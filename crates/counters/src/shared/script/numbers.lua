-- One subject's limits, decided, corrected or put back at once. This part, `log`, `gauges` and one of `take`, `adjust` and
-- `put` are one script. All its keys carry the subject as their hash tag.
--
-- KEYS  the subject's state; behind it one log for each limit that is a sliding_log, in the limits' order.
-- ARGV  now in microseconds since the epoch (0: this server's clock), the store's incarnation as the node sees it, which is
--       greater with each loss, and what the operation has of its own;
--       then one for each limit: its window's name (its seconds, or below 0 a day or a month), the algorithm (B bucket, F
--       fixed window, S sliding window, L sliding log), requests, window in microseconds, burst, and of days and months
--       the period's start and end in seconds (0 0: aligned to the epoch); then what the operation has of its own.
-- Answer  0 (or 1: this clock is in another period than those sent, and nothing was done), requests let through, slice, now,
--         the incarnation in which the counts are said now; then a record for each limit, and behind them for each that in
--         which it was said before (0 where it was not there).
--
-- A record is a window's name, the letter of the algorithm that counted (W: a bucket that stands still until it is as of then,
-- as slices are out) and three numbers of its own; how much of what is
-- used is from an earlier incarnation of the store, and the incarnation in which that was said; until when all this
-- means anything, in milliseconds; and of a bucket all that was ever given back to it. The state is a mark, and such records. Those of limits that are not asked about stay until then.
--
-- Whatever is sent, kept or answered is doubles, packed: text takes twice the time. Whole ones are exact below 2^53. Counts
-- stay below 2^50, instants below 2^51, windows are at most 2^42 microseconds. A product of two is divided digit by digit
-- (`mul_div`), so that nothing is ever rounded.

local COUNT_MOST = 1125899906842624 -- 2^50
local EXACT_BELOW = 9007199254740992 -- 2^53
local pack, unpacked = struct.pack, struct.unpack
local max, min = math.max, math.min
local call = redis.call
local now, incarnation, own = unpacked('<dd', ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local now_secs = (now - now % 1000000) / 1000000

-- The quotient and the rest of a * b / m, for a <= m <= 2^42 and b < 2^50.
local function mul_div(a, b, m)
  local product = a * b
  if product < EXACT_BELOW then
    local rest = product % m
    return (product - rest) / m, rest
  end
  local quotient, rest, unit = 0, 0, 1099511627776
  while unit > b do unit = unit / 1024 end
  while unit >= 1 do
    local digit = (b - b % unit) / unit % 1024
    local partial = rest * 1024 + a * digit
    rest = partial % m
    quotient, unit = quotient * 1024 + (partial - rest) / m, unit / 1024
  end
  return quotient, rest
end

local function at_least_one(rest)
  if rest > 0 then return 1 end
  return 0
end

-- Tokens that come back in so many microseconds: whole ones, and the rest in parts of a window.
local function flow(micros, gauge)
  local within = micros % gauge.window
  local whole, rest = mul_div(within, gauge.requests, gauge.window)
  return (micros - within) / gauge.window * gauge.requests + whole, rest
end

local function less(whole, rest, by_whole, by_rest, window)
  whole, rest = whole - by_whole, rest - by_rest
  if rest < 0 then whole, rest = whole - 1, rest + window end
  if whole < 0 then return 0, 0 end
  return whole, rest
end

local function add(count, more)
  count = count + more
  if count > COUNT_MOST then return COUNT_MOST end
  return count
end

local function aligned_end(window)
  local secs = window / 1000000
  return now_secs - now_secs % secs + secs
end

-- What a bucket still misses, and as of when.
local function bucket_now(gauge, whole, rest, at)
  if now <= at then return whole, rest, at end
  local back, back_rest = flow(now - at, gauge)
  whole, rest = less(whole, rest, back, back_rest, gauge.window)
  return whole, rest, now
end

local function sliding_now(gauge, ends, previous, current)
  local secs = gauge.window / 1000000
  if now_secs < ends then return ends, previous, current end
  if now_secs < ends + secs then return ends + secs, current, 0 end
  return aligned_end(gauge.window), 0, 0
end

local function weighted(gauge, ends, previous, current)
  local share = min(max(ends * 1000000 - now, 0), gauge.window)
  local whole, rest = mul_div(share, previous, gauge.window)
  return current + whole + at_least_one(rest)
end
