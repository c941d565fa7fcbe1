// SPDX-License-Identifier: Apache-2.0
// Owns which words of a conductor's recorded calls are secret, so that tests look for them where none may be.

/** The secret words of a recorded call: tokens, config drives, passwords, wherever they stand. */
export function secretsOf(value: unknown, key = ''): string[] {
  if (typeof value === 'string') {
    const inUrl = [...value.matchAll(/(?:agent_token|temp_url_sig)=([^&\s]+)/g)].map((m) => m[1])
    const isSecret =
      /^(agent_token|configdrive|rescue_password|agent_secret_token|Authorization)$/.test(key)
    return [...(inUrl as string[]), ...(isSecret && !/^\**$/.test(value) ? [value] : [])]
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([inner, item]) => secretsOf(item, inner))
}
