// SPDX-License-Identifier: Apache-2.0
// Owns how many peers a node deals with. Whom it serves is the choker's to say.

/**
 * Connections. Ninety nodes all know each other: those that see half of the others share the origin worse
 * (90 × 3 GiB simulated: 1.37 × the bound and 1.25 copies with 55, 1.15 × and 1.05 with 105).
 */
export const MAX_CONNS = 105
/**
 * A node opens this many and leaves the rest to those who come later: else the first hundred know only each
 * other, and news reaches the last of a thousand through all that lie between.
 */
export const OPENED_CONNS = 35
/** No tit-for-tat: everybody interested is served up to this many. */
export const MAX_UPLOADS = 100
