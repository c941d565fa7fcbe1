# SPDX-License-Identifier: Apache-2.0
# Owns one libtorrent node of a benchmark, with the settings that served a deployment best.
#
#   leech-libtorrent.py TORRENT FOLDER PIECE_BYTES [PEER_ADDRESS:PORT]
import json
import os
import sys
import time

import libtorrent as lt

torrent, folder, piece_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
peer = sys.argv[4] if len(sys.argv) > 4 else None
session = lt.session({
    'listen_interfaces': '0.0.0.0:6881',
    'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
    'enable_outgoing_utp': False, 'enable_incoming_utp': False,
    'out_enc_policy': 2, 'in_enc_policy': 2,
    'unchoke_slots_limit': -1, 'connections_limit': 500,
    # the default of 16 MiB makes every node fetch everything from the web seed
    'urlseed_max_request_bytes': piece_bytes,
    'alert_mask': 0,
})
info = lt.torrent_info(torrent)
open(os.environ['IW_READY'], 'w').close()
while not os.path.exists(os.environ['IW_GATE']):
    time.sleep(0.01)
handle = session.add_torrent({'ti': info, 'save_path': folder})
if peer:
    host, port = peer.rsplit(':', 1)
    handle.connect_peer((host, int(port)))
began = time.time()
announced = began
while not handle.status().is_seeding:
    time.sleep(0.02)
    # the first node to announce learns of nobody; others re-announce within seconds as well
    if not peer and time.time() - announced > 2 and handle.status().num_peers < 1:
        announced = time.time()
        handle.force_reannounce()
status = handle.status()
result = {'at': int(time.time() * 1000), 'duplicateBytes': status.total_redundant_bytes}
done = os.environ['IW_DONE']
with open(done + '.part', 'w') as file:
    json.dump(result, file)
os.rename(done + '.part', done)
if os.environ.get('LEAVE') != '1':
    while True:
        time.sleep(1)
