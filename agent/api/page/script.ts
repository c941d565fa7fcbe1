// SPDX-License-Identifier: Apache-2.0
// Owns what keeps the status page up to date in the browser: the stream of events says when, the server says what. The
// page is drawn by the server alone; the script puts what has changed into its place.
import { EVENT_TABLE } from '../../core/event-table.ts'

/**
 * A page is fetched once a second at most, and every 10 s in any case, for its ages. Where the stream is refused it is
 * fetched every 3 s. `update` changes nodes in place: selection, focus and animation of what stays go on.
 */
export const SCRIPT = `
'use strict';
const EVENTS = ${JSON.stringify(['state', ...Object.keys(EVENT_TABLE)])};
let timer, isBusy = false, isWanted = false;
const lost = (is) => document.documentElement.classList.toggle('is-lost', is);
async function refresh() {
  if (isBusy) { isWanted = true; return; }
  isBusy = true; isWanted = false;
  try {
    const answer = await fetch('/', { headers: { accept: 'text/html' }, cache: 'no-store', signal: AbortSignal.timeout(8000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.title = next.title;
    update(document.querySelector('.page'), next.querySelector('.page'));
    lost(false);
  } catch { lost(true); }
  isBusy = false;
  if (isWanted) soon();
}
function soon() {
  timer ??= setTimeout(() => { timer = undefined; refresh(); }, 1000);
}
function update(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName || old.className?.baseVal !== next.className?.baseVal) {
    old.replaceWith(document.adoptNode(next));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [mine, theirs] = [[...old.childNodes], [...next.childNodes]];
  theirs.forEach((child, i) => mine[i] ? update(mine[i], child) : old.append(document.adoptNode(child)));
  for (const child of mine.slice(theirs.length)) child.remove();
}
const stream = new EventSource('/v1/events');
for (const name of EVENTS) stream.addEventListener(name, soon);
let polling;
stream.onerror = () => {
  if (stream.readyState === EventSource.CLOSED) polling ??= setInterval(refresh, 3000);
  soon();
};
setInterval(refresh, 10000);
`
