# SPDX-License-Identifier: Apache-2.0
# What stands before each block of a page: the commands run as they are written, but for those that would take
# hours, change this computer, or never end. $CHECKOUT, $NODE_PATHS and $LAB come from pages-lab.ts.
set -euo pipefail
PATH=$CHECKOUT/node_modules/.bin:/usr/sbin:/sbin:$PATH

# a target of the Makefile with these variables: all that it would run, without running it
make() { command make -C "$CHECKOUT" --dry-run "$@" >/dev/null; }

# the tests are there
npx() {
  [[ $1 = vitest && $2 = run ]]
  (cd "$CHECKOUT" && test -e "$3")
}

git() {
  case $1 in
  clone) mkdir -p "$(basename "$2" .git)" ;;
  checkout) command git -C "$CHECKOUT" rev-parse --verify --quiet HEAD >/dev/null ;;
  esac
}

# what `make npm-package` and `make deb` make, by the name that they give it; test/integration/package installs them
installs() { [[ $(basename "$1") = "$2" ]]; }
npm() { [[ $1 = install ]] && installs "${!#}" "ironswarm-$VERSION.tgz"; }
apt() { [[ $1 = install ]] && installs "${!#}" "ironswarm_${VERSION}_amd64.deb"; }
man() {
  local words=${1//-/ }
  "$CHECKOUT/agent/ironswarm" ${words#ironswarm} --help >/dev/null
}
journalctl() { [[ $1 = -u ]] && systemctl enable "$2"; }

apt-get() { command apt-get --simulate "$@" >/dev/null; }

# a unit of a package, or of the block before
systemctl() {
  local unit=${!#}
  local ours=$CHECKOUT/image-build/package/root/usr/lib/systemd/system
  test -e "/lib/systemd/system/$unit.service" -o -e "$ours/${unit%%@*}@.service" -o -e "$ours/$unit.service"
}

# ends well only if nothing but the time ended it
until_ended() {
  local signal=$1 code=0
  shift
  timeout --signal="$signal" --kill-after=60 "${LONG_ENOUGH:-20}" "$@" || code=$?
  [[ $code = 124 ]]
}

opentracker() { LONG_ENOUGH=3 until_ended TERM "$(type -P opentracker)" "$@" -i 127.0.0.1; }

function agent/ironswarm {
  local code=0
  case $1 in
  run)
    until_ended TERM "$CHECKOUT/agent/ironswarm" "$@" --api-url http://127.0.0.1:9 --listen-host 127.0.0.1 \
      --listen-port "$FREE_PORT" --run-dir "$LAB/run" --machine-control log --block-devices "$LAB/none"
    ;;
  seed) until_ended INT "$CHECKOUT/agent/ironswarm" "$@" ;;
  watch)
    if [[ " $* " = *' --once '* ]]; then
      "$CHECKOUT/agent/ironswarm" "$@"
    else
      until_ended INT "$CHECKOUT/agent/ironswarm" "$@"
    fi
    ;;
  doctor)
    # what it finds on a computer that is no node is for it to say
    "$CHECKOUT/agent/ironswarm" "$@" || code=$?
    [[ $code = [01] ]]
    ;;
  *) "$CHECKOUT/agent/ironswarm" "$@" ;;
  esac
}
ironswarm() { agent/ironswarm "$@"; }
