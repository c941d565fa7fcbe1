// SPDX-License-Identifier: Apache-2.0
// Owns how the bundle reaches Node's own modules: by process.getBuiltinModule instead of import. An import
// reads every property of the module at once, and some are made only then: node:process opens stdin,
// node:http loads a whole fetch. Does not touch CommonJS packages; they call require, which does no such thing.
import type { Plugin } from 'esbuild'

const NAMESPACE = 'node-builtin'
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/** For esbuild: an import of a module of Node reads only the names it asks for. */
export const nodeBuiltinsPlugin: Plugin = {
  name: 'node-builtins',
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: NAMESPACE } : undefined,
    )
    onLoad({ filter: /.*/, namespace: NAMESPACE }, ({ path }) => ({
      contents: moduleText(path),
      loader: 'js',
    }))
  },
}

/** The names are those of the Node that builds, which is the one that ships. */
function moduleText(path: string): string {
  const names = Object.keys(process.getBuiltinModule(path) ?? {})
  const lines = names
    .filter((name) => name !== 'default' && IDENTIFIER.test(name))
    // pure: left out where nobody imports it
    .map((name) => `const _${name}=/* @__PURE__ */(()=>m.${name})();export{_${name} as ${name}}`)
  return [`const m=process.getBuiltinModule('${path}')`, 'export default m', ...lines].join('\n')
}
