// SPDX-License-Identifier: Apache-2.0
// Owns the stand-in's idea of a node: what is enrolled, the record the conductor keeps, and the node
// and port objects it sends along with steps. Does not talk to anyone.
import { randomBytes, randomUUID } from 'node:crypto'

export type ProvisionState =
  | 'available'
  | 'deploying'
  | 'wait call-back'
  | 'active'
  | 'deploy failed'
  | 'inspect wait'
  | 'inspect failed'
  | 'manageable'

/** A node as a test or the demo enrols it. */
export interface EnrolledNode {
  readonly uuid: string
  readonly mac: string | readonly string[]
  readonly name?: string
  readonly instance_info?: Readonly<Record<string, unknown>>
  readonly properties?: Readonly<Record<string, unknown>>
  readonly driver_info?: Readonly<Record<string, unknown>>
  readonly extra?: Readonly<Record<string, unknown>>
  /** A token that went in by virtual media; lookups then always answer `******` (contract 2.6). */
  readonly pregeneratedToken?: string
}

/** What the conductor knows of it. */
export interface NodeRecord {
  readonly uuid: string
  readonly name: string
  readonly macs: readonly string[]
  readonly pregeneratedToken: string | null
  instanceInfo: Record<string, unknown>
  readonly properties: Record<string, unknown>
  readonly driverInfo: Record<string, unknown>
  readonly extra: Record<string, unknown>
  state: ProvisionState
  lastError: string | null
  /** While the conductor works on the node; heartbeats are then accepted and ignored. */
  locked: boolean
  token: string | null
  /** callback_url and certificate of this boot; a heartbeat may not change them. */
  agentUrl: string | null
  agentVerifyCa: string | null
  agentVersion: string | null
  lastHeartbeatAt: number | null
  heartbeats: number
  deployStep: Record<string, unknown>
  driverInternalInfo: Record<string, unknown>
}

/** A record in state `available`. */
export function enrol(node: EnrolledNode): NodeRecord {
  const macs = (typeof node.mac === 'string' ? [node.mac] : node.mac).map((m) => m.toLowerCase())
  return {
    uuid: node.uuid,
    name: node.name ?? node.uuid.slice(0, 8),
    macs,
    pregeneratedToken: node.pregeneratedToken ?? null,
    instanceInfo: { ...node.instance_info },
    properties: { cpu_arch: 'x86_64', ...node.properties },
    driverInfo: { ...node.driver_info },
    extra: { ...node.extra },
    state: 'available',
    lastError: null,
    locked: false,
    token: node.pregeneratedToken ?? null,
    agentUrl: null,
    agentVerifyCa: null,
    agentVersion: null,
    lastHeartbeatAt: null,
    heartbeats: 0,
    deployStep: {},
    driverInternalInfo: { is_whole_disk_image: true },
  }
}

/** What a power-off or a reboot by the conductor wipes (contract 2.6, 3.1). */
export function forgetBoot(node: NodeRecord): void {
  node.token = node.pregeneratedToken
  node.agentUrl = null
  node.agentVerifyCa = null
  node.agentVersion = null
  node.lastHeartbeatAt = null
}

/** A token as Ironic makes them: 43 url-safe characters. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

const MASK = '******'

function masked(instanceInfo: Record<string, unknown>): Record<string, unknown> {
  const copy = { ...instanceInfo }
  for (const key of ['configdrive', 'image_url']) if (copy[key] != null) copy[key] = MASK
  return copy
}

function internalInfo(node: NodeRecord): Record<string, unknown> {
  return {
    ...node.driverInternalInfo,
    ...(node.token === null ? {} : { agent_secret_token: MASK }),
    ...(node.agentUrl === null
      ? {}
      : { agent_url: node.agentUrl, agent_version: node.agentVersion }),
  }
}

/** The four fields and the links that a lookup shows (contract 2.5). */
export function lookupView(node: NodeRecord, apiUrl: string): Record<string, unknown> {
  return {
    uuid: node.uuid,
    properties: node.properties,
    instance_info: masked(node.instanceInfo),
    driver_internal_info: internalInfo(node),
    links: [
      { href: `${apiUrl}/v1/nodes/${node.uuid}`, rel: 'self' },
      { href: `${apiUrl}/nodes/${node.uuid}`, rel: 'bookmark' },
    ],
  }
}

/** The full node of a step's parameters, as 21.4 sends it; deploy steps carry the config drive in clear. */
export function stepView(
  node: NodeRecord,
  options: { showConfigdrive: boolean },
): Record<string, unknown> {
  const now = new Date().toISOString().replace('Z', '000')
  return {
    id: 1,
    uuid: node.uuid,
    name: node.name,
    chassis_id: null,
    instance_uuid: null,
    driver: 'manual-management',
    driver_info: node.driverInfo,
    driver_internal_info: internalInfo(node),
    clean_step: {},
    deploy_step: node.deployStep,
    raid_config: {},
    target_raid_config: {},
    properties: node.properties,
    reservation: 'stand-in',
    conductor_affinity: 1,
    conductor_group: '',
    power_state: 'power on',
    target_power_state: null,
    provision_state: node.state,
    provision_updated_at: now,
    target_provision_state: 'active',
    maintenance: false,
    maintenance_reason: null,
    fault: null,
    console_enabled: false,
    last_error: null,
    resource_class: null,
    inspection_finished_at: null,
    inspection_started_at: null,
    extra: node.extra,
    automated_clean: null,
    protected: false,
    protected_reason: null,
    allocation_id: null,
    bios_interface: 'no-bios',
    boot_interface: 'ipxe',
    console_interface: 'no-console',
    deploy_interface: 'direct',
    inspect_interface: 'no-inspect',
    management_interface: 'noop',
    network_interface: 'noop',
    power_interface: 'fake',
    raid_interface: 'agent',
    rescue_interface: 'agent',
    storage_interface: 'noop',
    vendor_interface: 'no-vendor',
    traits: { objects: [] },
    owner: null,
    lessee: null,
    description: null,
    retired: false,
    retired_reason: null,
    network_data: {},
    boot_mode: null,
    secure_boot: null,
    shard: null,
    created_at: now,
    updated_at: now,
    instance_info: options.showConfigdrive
      ? node.instanceInfo
      : {
          ...node.instanceInfo,
          ...(node.instanceInfo['configdrive'] ? { configdrive: MASK } : {}),
        },
  }
}

/** The ports of a step's parameters. */
export function portViews(node: NodeRecord): Record<string, unknown>[] {
  return node.macs.map((address, i) => ({
    id: i + 1,
    uuid: randomUUID(),
    node_id: 1,
    node_uuid: node.uuid,
    address,
    extra: {},
    local_link_connection: {},
    portgroup_id: null,
    pxe_enabled: true,
    internal_info: {},
    physical_network: null,
    is_smartnic: false,
    name: null,
    created_at: new Date().toISOString(),
    updated_at: null,
  }))
}
