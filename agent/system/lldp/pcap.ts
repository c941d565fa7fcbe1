// SPDX-License-Identifier: Apache-2.0
// Owns the stream that `tcpdump -w -` writes (pcap, draft-ietf-opsawg-pcap): cuts it into frames. Does
// not know what is in them.

const FILE_HEADER_BYTES = 24
const RECORD_HEADER_BYTES = 16
/** Times in microseconds, in nanoseconds; as read in the writer's own byte order. */
const MAGICS = [0xa1b2c3d4, 0xa1b23c4d]
/** A longer frame cannot come from the capture length that is asked for: the stream is none. */
const MAX_FRAME_BYTES = 65_536

export interface PcapReader {
  /** Takes the next bytes; returns the frames that are now whole, and none once the stream is no pcap. */
  push(bytes: Uint8Array): Uint8Array[]
}

/** A reader that holds one unfinished frame at most. */
export function createPcapReader(): PcapReader {
  let rest = Buffer.alloc(0)
  let order: 'little' | 'big' | undefined
  let isBroken = false

  function readFileHeader(): void {
    if (order !== undefined || rest.length < FILE_HEADER_BYTES) return
    if (MAGICS.includes(rest.readUInt32LE(0))) order = 'little'
    else if (MAGICS.includes(rest.readUInt32BE(0))) order = 'big'
    else isBroken = true
    rest = rest.subarray(FILE_HEADER_BYTES)
  }

  function nextFrame(): Uint8Array | undefined {
    if (order === undefined || rest.length < RECORD_HEADER_BYTES) return undefined
    const length = order === 'little' ? rest.readUInt32LE(8) : rest.readUInt32BE(8)
    const end = RECORD_HEADER_BYTES + length
    isBroken = length > MAX_FRAME_BYTES
    if (isBroken || rest.length < end) return undefined
    const frame = rest.subarray(RECORD_HEADER_BYTES, end)
    rest = rest.subarray(end)
    return frame
  }

  return {
    push: (bytes) => {
      if (isBroken) return []
      rest = Buffer.concat([rest, bytes])
      readFileHeader()
      const frames: Uint8Array[] = []
      for (let frame = nextFrame(); frame !== undefined; frame = nextFrame()) frames.push(frame)
      if (isBroken) rest = Buffer.alloc(0)
      return frames
    },
  }
}
