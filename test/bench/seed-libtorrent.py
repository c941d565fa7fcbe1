# SPDX-License-Identifier: Apache-2.0
# Owns the seed of the engine benchmark: libtorrent with an image that is complete.
#
#   seed-libtorrent.py TORRENT FOLDER PORT
import os
import sys
import time

import libtorrent as lt

torrent, folder, port = sys.argv[1:4]
session = lt.session({
    'listen_interfaces': '127.0.0.1:' + port,
    'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
    'enable_outgoing_utp': False, 'enable_incoming_utp': False,
    'out_enc_policy': 2, 'in_enc_policy': 2,
    'unchoke_slots_limit': -1, 'allow_multiple_connections_per_ip': True,
})
info = lt.torrent_info(torrent)
handle = session.add_torrent({'ti': info, 'save_path': folder, 'flags': lt.torrent_flags.seed_mode})
while not handle.status().is_seeding:
    time.sleep(0.05)
handle.unset_flags(lt.torrent_flags.auto_managed)
time.sleep(1)
open(os.environ['IW_READY'], 'w').close()
while True:
    time.sleep(1)
