// SPDX-License-Identifier: Apache-2.0
// Owns the arithmetic and the text of sizes, rates and durations.
import type { Unit } from './events.ts'

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
/** The unit of /sys/class/block/*\/size whatever the logical sector size is (sysfs-block). */
export const SYSFS_SECTOR_BYTES = 512

/** `12.3 MiB`; below 1 KiB whole bytes. */
export function formatBytes(bytes: number): string {
  const units: [number, string][] = [
    [1024 * GiB, 'TiB'],
    [GiB, 'GiB'],
    [MiB, 'MiB'],
    [KiB, 'KiB'],
  ]
  for (const [size, unit] of units) {
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`
  }
  return `${Math.round(bytes)} B`
}

/** `12.3 MiB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`
}

/** `1:02:03` or `2:03`; `-` when unknown. */
export function formatDuration(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return '-'
  const whole = Math.max(0, Math.round(seconds))
  const pad = (n: number) => String(n).padStart(2, '0')
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`
}

/** Of a figure that counts bytes, seconds or things: `12.3 MiB`, `2:03`, `7`. */
export function formatAmount(amount: number, unit: Unit): string {
  if (unit === 'bytes') return formatBytes(amount)
  return unit === 'seconds' ? formatDuration(amount) : String(Math.round(amount))
}

/** `12.3 MiB/s`; null for seconds, of which one passes in each, and for things, which are few. */
export function formatPace(perSecond: number, unit: Unit): string | null {
  return unit === 'bytes' ? formatRate(perSecond) : null
}

/** `1 peer`, `4 peers`. @param word takes an s for any other number than one */
export function formatCount(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}

/** The smallest multiple of `unit` that is >= `bytes`. */
export function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit
}

/** The largest multiple of `unit` that is <= `bytes`. */
export function roundDown(bytes: number, unit: number): number {
  return Math.floor(bytes / unit) * unit
}

/** Bytes of `4096`, `512K`, `4M`, `2GiB` (binary units); undefined if it is none of these. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim())
  if (!match) return undefined
  const power = { '': 0, K: 1, M: 2, G: 3, T: 4 }[(match[2] as string).toUpperCase()] ?? 0
  const bytes = Number(match[1]) * 1024 ** power
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
