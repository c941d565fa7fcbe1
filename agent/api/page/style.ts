// SPDX-License-Identifier: Apache-2.0
// Owns how the status page looks: one column on a phone, two on a desk, light or dark as the reader has it. Loads
// nothing.

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --line: #dfe3e8; --text: #16202b; --soft: #55616f;
  --accent: #0b6bcb; --accent-2: #7a8797; --track: #e6eaef; --well: #1a7f4b; --wrong: #b3261e; --wrong-card: #fdf1f0;
  --wait: #8a5a00; --wait-card: #fdf6e7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0e1318; --card: #161d24; --line: #28323c; --text: #e6ebf0; --soft: #9aa7b4;
    --accent: #58a6ff; --accent-2: #7f8c99; --track: #26303a; --well: #4cc38a; --wrong: #ff8f87; --wrong-card: #2a1717;
    --wait: #e0a93b; --wait-card: #261f11;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
.page { max-width: 1040px; margin: 0 auto; padding: 28px 20px 40px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; margin-bottom: 20px; }
h1 { font-size: 22px; line-height: 1.25; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 13px; font-weight: 600; margin: 0 0 12px; color: var(--soft); }
.uuid { color: var(--soft); font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.ironic { margin-left: auto; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.ironic b { color: var(--text); font-weight: 500; }
.ironic.wrong, .ironic.wrong b { color: var(--wrong); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin-bottom: 16px; }
.now { padding: 26px 28px 28px; }
.headline { display: flex; align-items: baseline; gap: 16px; }
.headline p { margin: 0; font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em; overflow-wrap: anywhere; }
.headline .percent { margin-left: auto; font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em; color: var(--accent); }
.waiting .headline p { color: var(--wait); }
.wrong .headline p { color: var(--wrong); }
.detail { margin: 6px 0 0; color: var(--soft); overflow-wrap: anywhere; }
progress { appearance: none; display: block; width: 100%; height: 10px; margin: 18px 0 16px; border: 0; border-radius: 5px; background: var(--track); overflow: hidden; }
progress::-webkit-progress-bar { background: var(--track); border-radius: 5px; }
progress::-webkit-progress-value { background: var(--accent); border-radius: 5px; transition: width .9s linear; }
progress::-moz-progress-bar { background: var(--accent); border-radius: 5px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(156px, 1fr)); gap: 14px 20px; margin: 0; }
dl + dl { margin-top: 14px; padding-top: 14px; border-top: 1px solid var(--line); }
dt { font-size: 12.5px; color: var(--soft); }
dd { margin: 0; font-size: 17px; font-weight: 550; }
.trouble { background: var(--wrong-card); border-color: var(--wrong); }
.trouble h2 { color: var(--wrong); }
.trouble.warning { background: var(--wait-card); border-color: var(--wait); }
.trouble.warning h2 { color: var(--wait); }
.trouble p { margin: 0 0 6px; overflow-wrap: anywhere; }
.trouble p:last-child { margin: 0; }
.todo { font-weight: 600; }
.two { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.two .card { margin-bottom: 0; }
.pieces { display: block; width: 100%; height: 44px; margin: 0 0 18px; }
.pieces rect { fill: var(--accent); }
.pieces .none { fill: var(--track); }
.wide { overflow-x: auto; }
.wide + h2, dl + h2 { margin-top: 22px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th { text-align: left; font-weight: 500; font-size: 12.5px; color: var(--soft); padding: 0 14px 6px 0; white-space: nowrap; }
td { padding: 6px 14px 6px 0; border-top: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
th:last-child, td:last-child { padding-right: 0; }
.num { text-align: right; white-space: nowrap; }
.soft { color: var(--soft); }
td.mono { white-space: nowrap; }
td.any { white-space: normal; overflow-wrap: anywhere; min-width: 120px; }
.mono { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px; }
.ok { color: var(--well); } .bad { color: var(--wrong); }
footer { margin-top: 22px; color: var(--soft); font-size: 13px; display: flex; flex-wrap: wrap; gap: 4px 18px; }
a { color: var(--accent); }
#lost { display: none; }
.is-lost #lost { display: block; position: sticky; top: 0; z-index: 1; padding: 8px 20px; background: var(--wrong); color: var(--card); text-align: center; }
@media (max-width: 720px) {
  .page { padding: 20px 14px 32px; }
  .two { grid-template-columns: minmax(0, 1fr); }
  .now { padding: 20px 18px 22px; }
  .headline p, .headline .percent { font-size: 22px; }
  .ironic { margin-left: 0; flex-basis: 100%; }
  .card { padding: 16px 16px; }
  dl { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media (prefers-reduced-motion: reduce) { progress::-webkit-progress-value { transition: none; } }
`
