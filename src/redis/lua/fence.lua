-- The fence of an account: what its Redis may have forgotten counts as used up (wake.lua says when that is).
-- Key warmline:{acct}:fence, two little-endian doubles: the seq that every record has reached that was written since, and the
-- instant. No key: nothing was ever lost. A record or a receipt with a lower seq is from before the fence.
local first_seq, fenced_at = 0, 0
local function heed_fence(raw)
  if raw then first_seq, fenced_at = struct.unpack('<dd', raw) end
end
