// SPDX-License-Identifier: Apache-2.0
// Owns what a benchmark is told by `make NAME=value`, which hands on what it was not told as empty.

export function setting(name: string): string | undefined {
  return process.env[name] || undefined
}
