// SPDX-License-Identifier: Apache-2.0
// Owns a configuration for tests: what the option table has by default.
import { type Config, OPTIONS } from '../../agent/config/options.ts'

/** Every option as it is where nobody sets it. */
export function defaultConfig(): Config {
  return Object.fromEntries(
    Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
  ) as unknown as Config
}
