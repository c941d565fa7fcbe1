// SPDX-License-Identifier: Apache-2.0
// Owns the status page as an answer: who is given it instead of JSON, its head with the policy that lets it load and
// run nothing else (CSP Level 3), and the whole document. The parts are in sections.ts.
import { createHash } from 'node:crypto'
import type { EventReader } from '../../telemetry/event-stream.ts'
import { type View, viewOf } from '../../telemetry/view/view.ts'
import { publicTexts } from '../watching/public-text.ts'
import { type Html, html, verbatim } from './html.ts'
import { SCRIPT } from './script.ts'
import { arraysOf, headerOf, machineOf, nowOf, swarmOf, troubleOf } from './sections.ts'
import { STYLE } from './style.ts'

export interface StatusPage {
  /** True for browsers: HTML is named, and no JSON before it (RFC 9110, 12.5.1). */
  isWanted(accept: string | undefined): boolean
  readonly headers: Readonly<Record<string, string>>
  text(): string
}

export interface StatusPageOptions {
  readonly events: Pick<EventReader, 'snapshot'>
  /** Wall clock, ms. */
  readonly now: () => number
  /** There is a page of metrics to name. */
  readonly hasMetrics: boolean
}

export function createStatusPage({ events, now, hasMetrics }: StatusPageOptions): StatusPage {
  return {
    isWanted,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': [
        "default-src 'none'",
        `style-src '${hashOf(STYLE)}'`,
        `script-src '${hashOf(SCRIPT)}'`,
        "connect-src 'self'",
        'img-src data:',
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
      ].join('; '),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      vary: 'accept',
    },
    text: () => documentOf(publicTexts(viewOf(events.snapshot(), now())), hasMetrics).markup,
  }
}

function isWanted(accept = ''): boolean {
  const types = accept
    .split(',')
    .map((part) => part.split(';').map((word) => word.trim().toLowerCase()))
    .map(([type = '', ...parameters], i) => ({ type, i, quality: qualityOf(parameters) }))
  const of = (name: string) => types.find(({ type, quality }) => type === name && quality > 0)
  const [page, json] = [of('text/html'), of('application/json')]
  if (!page) return false
  return !json || page.quality > json.quality || (page.quality === json.quality && page.i < json.i)
}

function qualityOf(parameters: readonly string[]): number {
  const text = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2)
  const quality = Number(text ?? 1)
  return Number.isNaN(quality) ? 0 : quality
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

/** A dot, so that browsers do not ask for one. */
const ICON =
  'data:image/svg+xml,%3Csvg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"%3E%3Ccircle cx="4" cy="4" r="4" fill="%230b6bcb"/%3E%3C/svg%3E'

function documentOf(view: View, hasMetrics: boolean): Html {
  const { title, headline, trouble, torrent, syncing, version, work } = view
  const percent = work?.percent == null ? '' : `${Math.floor(work.percent)}% `
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${percent}${headline} – ${title}</title>
<link rel="icon" href="${ICON}">
<style>${verbatim(STYLE)}</style>
<noscript><meta http-equiv="refresh" content="5"></noscript>
</head>
<body>
<div id="lost" role="status">The agent does not answer. This is the last that it said.</div>
<div class="page">
${headerOf(view)}
<main>
${nowOf(view)}
${trouble !== null && troubleOf(trouble)}
${syncing.length > 0 && arraysOf(syncing)}
${torrent !== null && swarmOf(torrent)}
${machineOf(view)}
</main>
<footer><span>ironswarm ${version}</span><a href="/v1/status">status</a><a href="/v1/swarm">swarm</a><a href="/v1/events">events</a>${hasMetrics && html`<a href="/metrics">metrics</a>`}</footer>
</div>
<script>${verbatim(SCRIPT)}</script>
</body>
</html>
`
}
