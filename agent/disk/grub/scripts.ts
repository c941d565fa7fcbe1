// SPDX-License-Identifier: Apache-2.0
// Owns the two scripts that the shell of a written image runs to make itself boot (contract 5.5). Constants; they run
// inside of the image's root, so that a link in it leads to another place in it and nowhere else.

/** How a script ends where the image has not what it is for. */
export const EXIT_HAS_NONE = 3

/** `$1` of both: the ESP as fstab names it, or nothing; `$2`: UUID of the array that the root lies on, or nothing. */
const HEAD = `
set -eu
esp=$1 array=$2
shift 2
grub=
if command -v grub2-install > /dev/null 2>&1; then grub=grub2
elif command -v grub-install > /dev/null 2>&1; then grub=grub
fi

# one line for the file systems that the instance mounts at its start
add_to_fstab() {
  if grep -Eqs '^[^#]*[[:space:]]/boot/efi[[:space:]]' /etc/fstab; then return; fi
  if [ -s /etc/fstab ] && [ -n "$(tail -c 1 /etc/fstab)" ]; then echo >> /etc/fstab; fi
  echo "$esp /boot/efi vfat umask=0077 0 1" >> /etc/fstab
}

make_menu() {
  # dracut assembles no array it is not told of
  if [ -n "$array" ] && command -v dracut > /dev/null 2>&1 &&
    ! grep -qs "rd.md.uuid=$array" /etc/default/grub; then
    printf '\\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX rd.md.uuid=%s"\\n' "$array" >> /etc/default/grub
  fi
  if command -v "$grub-mkconfig" > /dev/null 2>&1; then
    mkdir -p "/boot/$grub"
    "$grub-mkconfig" -o "/boot/$grub/grub.cfg"
  fi
}
`

/**
 * `$3`: what grub-install calls the platform, or nothing; from `$4` on what it installs to. With an ESP it is mounted at
 * /boot/efi. Firmware's variables are not touched: our own efibootmgr does that.
 */
export const INSTALL_SCRIPT = `${HEAD}
target=$1
shift
if [ -z "$grub" ]; then
  echo 'the image holds neither grub2-install nor grub-install'
  exit ${EXIT_HAS_NONE}
fi
if [ -n "$esp" ]; then
  for how in '' --removable; do
    "$grub-install" \${target:+"--target=$target"} --efi-directory=/boot/efi --no-nvram $how
  done
  add_to_fstab
else
  for device; do "$grub-install" \${target:+"--target=$target"} "$device"; done
fi
make_menu
sync
`

/**
 * `$3`: UUID of the root file system, or nothing; `$4`: the loader in EFI/BOOT without which nothing starts, in lower
 * case, or nothing. The ESP is mounted at /run/esp. Copies the loaders that the image brings in its own /boot/efi; a
 * GRUB without a menu beside it gets one that leads to the menu below /boot.
 */
export const PRESERVE_SCRIPT = `${HEAD}
root=$1 needed=$2
found=
for file in /boot/efi/EFI/*/*; do
  if [ ! -f "$file" ]; then continue; fi
  name=$(echo "\${file#/boot/efi/EFI/}" | tr '[:upper:]' '[:lower:]')
  if [ -z "$needed" ] || [ "$name" = "boot/$needed" ]; then found=1; fi
done
if [ -z "$found" ]; then
  echo "the image brings no loaders in /boot/efi/EFI\${needed:+ that firmware starts by itself (BOOT/$needed)}"
  exit ${EXIT_HAS_NONE}
fi
if [ -n "$grub" ]; then make_menu; fi
# FAT has no links
cp -RL /boot/efi/EFI /run/esp/
folder=grub
if [ -e /boot/grub2/grub.cfg ]; then folder=grub2; fi
for loader in /run/esp/EFI/*/grub*.efi /run/esp/EFI/*/GRUB*.EFI; do
  menu="\${loader%/*}/grub.cfg"
  if [ -f "$loader" ] && [ ! -e "$menu" ] && [ -n "$root" ] && [ -e "/boot/$folder/grub.cfg" ]; then
    printf 'search --no-floppy --fs-uuid --set=root %s\\nset prefix=($root)/boot/%s\\nconfigfile $prefix/grub.cfg\\n' \\
      "$root" "$folder" > "$menu"
  fi
done
add_to_fstab
sync
`
