// SPDX-License-Identifier: Apache-2.0
// Owns the bill of materials beside each output: CycloneDX 1.5 JSON, the same bytes for the same input
// (no serial number, no clock). Does not decide what is in the output.
import type { DebianPackage } from '../debian-packages.ts'
import { IMAGE_EPOCH_SECONDS } from '../run.ts'
import type { BundledPackage } from './agent-bundle.ts'

/** What the document is about. */
export interface Output {
  readonly name: string
  readonly version: string
  readonly sha256: string
}

export interface Ingredients extends Output {
  readonly debian: readonly DebianPackage[]
  readonly npm: readonly BundledPackage[]
}

/** The document's text. Packages are named by purl (github.com/package-url/purl-spec). */
export function makeSbom(ingredients: Ingredients): string {
  const { debian, npm } = ingredients
  return sbomText(ingredients, [...debian.map(debianComponent), ...npm.map(npmComponent)])
}

/** The bill of materials of something made of other outputs: theirs together, and `debian`. */
export function joinSboms(
  output: Output,
  texts: readonly string[],
  debian: readonly DebianPackage[],
): string {
  const all = texts.flatMap((text) => (JSON.parse(text) as { components: Component[] }).components)
  all.push(...debian.map(debianComponent))
  return sbomText(output, [...new Map(all.map((one) => [one['bom-ref'], one])).values()])
}

function sbomText({ name, version, sha256 }: Output, components: readonly Component[]): string {
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: new Date(IMAGE_EPOCH_SECONDS * 1000).toISOString(),
      component: {
        type: 'operating-system',
        'bom-ref': name,
        name,
        version,
        hashes: [{ alg: 'SHA-256', content: sha256 }],
      },
    },
    components,
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

interface Component {
  readonly 'bom-ref': string
}

function debianComponent({ name, version, fileName, sha256 }: DebianPackage) {
  const architecture = /_([^_]+)\.deb$/.exec(fileName)?.[1] ?? 'amd64'
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    hashes: [{ alg: 'SHA-256', content: sha256 }],
  }
}

function npmComponent({ name, version, license }: BundledPackage) {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    licenses: [{ expression: license }],
  }
}
