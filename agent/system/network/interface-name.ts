// SPDX-License-Identifier: Apache-2.0
// Owns names of interfaces that are to be made: what the kernel takes, and what nobody has yet. Makes none.

/** linux/if.h: with the zero at its end. */
const LONGEST_NAME = 15

/** The wish, or `<prefix>0<suffix>` and on, the first that is a name and free. */
export function freeName(
  wish: string,
  other: { readonly prefix: string; readonly suffix?: string },
  isTaken: (name: string) => boolean,
): string {
  if (isName(wish) && !isTaken(wish)) return wish
  for (let i = 0; ; i++) {
    const name = `${other.prefix}${i}${other.suffix ?? ''}`
    if (!isTaken(name)) return name
  }
}

/** Its number at the end, so that the inventory knows it for a VLAN (contract 6.1). */
export function vlanName(
  parent: string,
  vlanId: number,
  isTaken: (name: string) => boolean,
): string {
  return freeName(`${parent}.${vlanId}`, { prefix: 'vlan', suffix: `.${vlanId}` }, isTaken)
}

/** Those of /proc/sys/net/ipv4/conf that are no interfaces: an interface of that name gets no settings. */
const RESERVED = ['all', 'default']

/** dev_valid_name of the kernel, and nothing that ip would read as an option. */
function isName(text: string): boolean {
  if (text.length > LONGEST_NAME || RESERVED.includes(text)) return false
  return /^[A-Za-z0-9_][\w.-]*$/.test(text)
}
