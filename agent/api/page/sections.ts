// SPDX-License-Identifier: Apache-2.0
// Owns the parts of the status page, each made of the view. Does not know how they look (style.ts).
import {
  formatAmount,
  formatBytes,
  formatDuration,
  formatPace,
  formatRate,
} from '../../core/units.ts'
import type { Trouble, View, Work } from '../../telemetry/view/view.ts'
import { type Html, html } from './html.ts'

type Torrent = NonNullable<View['torrent']>

export function headerOf({ title, nodeUuid, ironic }: View): Html {
  return html`<header>
<h1>${title}</h1>
<span class="uuid">${nodeUuid ?? 'node not known yet'}</span>
<span class="ironic${ironic.isWell ? '' : ' wrong'}">Ironic ${ironic.words}${ironic.url !== null && html`<br><b>${ironic.url}</b>`}${ironic.remedy !== null && html`<br>${ironic.remedy}`}</span>
</header>`
}

export function nowOf({ headline, tone, detail, work }: View): Html {
  const percent = work?.percent ?? null
  return html`<section class="card now ${tone}" aria-label="What is done now">
<div class="headline"><p>${headline}</p>${percent !== null && html`<span class="percent">${percent.toFixed(1)}%</span>`}</div>
${detail !== null && html`<p class="detail">${detail}</p>`}
${percent !== null && html`<progress max="100" value="${percent}" aria-label="${headline}"></progress>`}
${work !== null && figuresOf(work)}
</section>`
}

function figuresOf({ step, percent, bytes, ...work }: Work): Html {
  const figures: Figure[] = [
    ...(step ? [['Step', `${step.n} of ${step.of}`] as const] : []),
    ...(percent === null
      ? []
      : [
          ['Done', `${work.done} of ${work.total}`] as const,
          ...(work.rate === null ? [] : [['Rate', work.rate] as const]),
          ['Left', work.eta] as const,
        ]),
    ...(work.elapsed === null ? [] : [['Since', work.elapsed] as const]),
  ]
  return html`${listOf(figures)}${bytes !== null && listOf(originsOf(bytes, work))}`
}

type Figure = readonly [name: string, value: string]

function originsOf(
  { origin, peers, file }: NonNullable<Work['bytes']>,
  work: Pick<Work, 'peers' | 'uploaded'>,
): Figure[] {
  const all = origin + peers + file
  const part = (bytes: number) => `${formatBytes(bytes)} (${Math.round((100 * bytes) / all)}%)`
  return [
    ['From peers', part(peers)],
    ['From the origin', part(origin + file)],
    ['Uploaded', work.uploaded],
    ['Peers', String(work.peers)],
  ]
}

function listOf(figures: readonly Figure[]): Html {
  return html`<dl>${figures.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

export function troubleOf({ kind, type, text, remedy, ago }: Trouble): Html {
  return html`<section class="card trouble ${kind}" aria-label="Last ${kind}">
<h2>${kind === 'failure' ? 'Failed' : 'Warning'}, ${ago}: ${type}</h2>
<p>${text}</p>
${remedy !== null && html`<p class="todo">${remedy}</p>`}
</section>`
}

/** Arrays that md brings in sync. */
export function arraysOf(syncing: View['syncing']): Html {
  const arrays = syncing.map(({ array, action, figures }) => {
    const { unit, done, total, percent, ratePerSecond, etaSeconds } = figures
    const rate = formatPace(ratePerSecond, unit)
    return html`<h2>RAID ${array}: ${action}, ${percent.toFixed(1)}%</h2>
<progress max="100" value="${percent}" aria-label="${action} of ${array}"></progress>
${listOf([
  ['Done', `${formatAmount(done, unit)} of ${formatAmount(total, unit)}`],
  ...(rate === null ? [] : [['Rate', rate] as const]),
  ['Left', formatDuration(etaSeconds ?? undefined)],
])}`
  })
  return html`<section class="card" aria-label="RAID">${arrays}</section>`
}

export function swarmOf(torrent: Torrent): Html {
  const { state, pieces, peers, rates, bytes, badPieces } = torrent
  const share = pieces.total === 0 ? 0 : Math.floor((100 * pieces.done) / pieces.total)
  const bad = badPieces.origin + badPieces.peers
  return html`<section class="card" aria-label="Swarm">
<h2>Swarm, ${state}: ${pieces.done} of ${pieces.total} pieces</h2>
${pieceMap(pieces.map, `${share}% of the pieces are on the disk`)}
<dl>
<div><dt>Peers</dt><dd>${peers}</dd></div>
<div><dt>Down from peers</dt><dd>${formatRate(rates.peers)}</dd></div>
<div><dt>Down from the origin</dt><dd>${formatRate(rates.origin)}</dd></div>
<div><dt>Up</dt><dd>${formatRate(rates.uploaded)}</dd></div>
<div><dt>Uploaded</dt><dd>${formatBytes(bytes.uploaded)}</dd></div>
${bad > 0 && html`<div><dt>Broken pieces</dt><dd class="bad">${bad}</dd></div>`}
</dl>
${torrent.peerList.length > 0 && peersOf(torrent)}
${torrent.trackers.length > 0 && trackersOf(torrent)}
</section>`
}

/** A cell for each stretch of the torrent, the fuller the more of it is there. */
function pieceMap(map: string, label: string): Html {
  const perRow = Math.ceil(map.length / (map.length > 60 ? 2 : 1))
  const rows = Math.ceil(map.length / Math.max(1, perRow))
  const cells = [...map].map((cell, i) => {
    const [x, y] = [i % perRow, Math.floor(i / perRow)]
    const fill = cell === '+' ? 1 : Number(cell) / 10
    const place = html`x="${x + 0.06}" y="${y + 0.06}" width="0.88" height="0.88" rx="0.14"`
    return fill === 0
      ? html`<rect class="none" ${place}/>`
      : html`<rect class="some" fill-opacity="${0.25 + 0.75 * fill}" ${place}/>`
  })
  return html`<svg class="pieces" viewBox="0 0 ${perRow} ${rows}" preserveAspectRatio="none" role="img" aria-label="${label}">${cells}</svg>`
}

function peersOf({ peerList, peers }: Torrent): Html {
  const rows = peerList.map(
    ({ address, rateBytesPerSecond, isNear, isAsked, isServed }) => html`<tr>
<td class="mono">${address}</td><td>${isNear ? 'same rack' : 'other rack'}</td>
<td>${[isAsked && 'sends', isServed && 'receives'].filter(Boolean).join(', ') || 'idle'}</td>
<td class="num">${formatRate(rateBytesPerSecond)}</td></tr>`,
  )
  const more = peers - peerList.length
  return html`<h2 id="peers">Peers${more > 0 && `, and ${more} more`}</h2>
<div class="wide" tabindex="0" role="region" aria-labelledby="peers"><table>
<thead><tr><th scope="col">Address</th><th scope="col">Where</th><th scope="col">Now</th><th scope="col" class="num">Sends</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}

function trackersOf({ trackers }: Torrent): Html {
  const rows = trackers.map(
    ({ tracker, state, words, nodes, askedSecondsAgo, nextInSeconds }) => html`<tr>
<td class="mono any">${tracker}</td>
<td class="${state === 'failing' ? 'bad' : state === 'answering' ? 'ok' : 'soft'}">${state}${words !== '' && `: ${words}`}${nodes !== null && `, ${nodes} nodes`}</td>
<td class="num">${askedSecondsAgo === null ? '–' : `${askedSecondsAgo} s ago`}</td>
<td class="num">${nextInSeconds === null ? '–' : `in ${nextInSeconds} s`}</td></tr>`,
  )
  return html`<h2 id="trackers">Trackers</h2>
<div class="wide" tabindex="0" role="region" aria-labelledby="trackers"><table>
<thead><tr><th scope="col">Tracker</th><th scope="col">Said last</th><th scope="col" class="num">Asked</th><th scope="col" class="num">Next</th></tr></thead>
<tbody>${rows}</tbody></table></div>`
}

export function machineOf({ links, machine }: View): Html {
  const { disks = [], model, cpus, memoryMib } = machine
  const facts = [
    model,
    cpus !== undefined && `${cpus} processors`,
    memoryMib !== undefined && `${formatBytes(memoryMib * 1024 * 1024)} memory`,
  ].filter((fact) => typeof fact === 'string')
  return html`<div class="two">
<div class="card"><h2 id="network">Network</h2>
${links.length === 0 ? html`<p class="soft">No interface yet</p>` : linksOf(links)}</div>
<div class="card"><h2 id="disks">Disks</h2>
${disks.length === 0 ? html`<p class="soft">No disk is known yet</p>` : disksOf(disks)}
${facts.length > 0 && html`<p class="soft">${facts.join(', ')}</p>`}</div>
</div>`
}

function linksOf(links: View['links']): Html {
  const rows = links.map(
    ({ name, mac, hasCarrier, addresses }) => html`<tr>
<td>${name}<br><span class="mono soft">${mac}</span></td>
<td class="${hasCarrier ? 'ok' : 'soft'}">${hasCarrier ? 'up' : 'no link'}</td>
<td class="mono">${addresses.length === 0 ? 'no address' : addresses.map((address) => html`${address}<br>`)}</td></tr>`,
  )
  return html`<div class="wide" tabindex="0" role="region" aria-labelledby="network"><table><thead><tr><th scope="col">Interface</th><th scope="col">Link</th><th scope="col">Addresses</th></tr></thead><tbody>${rows}</tbody></table></div>`
}

function disksOf(disks: NonNullable<View['machine']['disks']>): Html {
  const rows = disks.map(
    ({ name, sizeBytes, model }) => html`<tr>
<td class="mono">${name}</td><td>${model}</td><td class="num">${formatBytes(sizeBytes)}</td></tr>`,
  )
  return html`<div class="wide" tabindex="0" role="region" aria-labelledby="disks"><table><thead><tr><th scope="col">Disk</th><th scope="col">Model</th><th scope="col" class="num">Size</th></tr></thead><tbody>${rows}</tbody></table></div>`
}
