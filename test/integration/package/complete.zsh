# SPDX-License-Identifier: Apache-2.0
# What a Tab brings in a zsh that somebody types into: each match on a line of FILE, then END.
#
#   zsh -f complete.zsh FOLDER-OF-COMPLETIONS LINE FILE
zmodload zsh/zpty
folder=$1 line=$2 file=$3
zpty shell zsh -f -i
zpty -w shell "PROMPT=; fpath=('$folder' \$fpath); autoload -Uz compinit; compinit -u -D"
# compadd is how completions hand over what they have; -O, -A and -D ask it what would fit, and hand over nothing
zpty -w shell "compadd() {
  [[ \" \$* \" == *' -'[OAD]' '* ]] && { builtin compadd \"\$@\"; return }
  local -a fitting
  builtin compadd -O fitting \"\$@\"
  print -rl -- \$fitting >>'$file'
  builtin compadd \"\$@\"
}"
zpty -w shell "ended() { print END >>'$file' }; comppostfuncs=(ended)"
zpty -w -n shell "$line"$'\t'
for try in {1..600}; do
  [[ -e $file ]] && grep -qx END $file && break
  sleep .1
done
zpty -d shell
