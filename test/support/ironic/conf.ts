// SPDX-License-Identifier: Apache-2.0
// Owns ironic.conf of a rig: one process with API and conductor, sqlite, no other service, fake power. Does
// not start it: that is ironic.ts.

/** Rows of ironic.conf by section. */
export type Sections = Readonly<Record<string, Readonly<Record<string, string | number>>>>

export interface ConfOptions {
  readonly directory: string
  readonly host: string
  readonly port: number
  readonly filesUrl: string
  readonly requireTls: boolean
  readonly settings: Sections
}

/** The text of ironic.conf for any Ironic from 21.4 to 39; an option that one of them does not know it ignores. */
export function ironicConf({
  directory,
  host,
  port,
  filesUrl,
  requireTls,
  settings,
}: ConfOptions): string {
  const usual: Sections = {
    DEFAULT: {
      debug: 'True',
      host: 'ironswarm-test',
      my_ip: host,
      auth_strategy: 'noauth',
      // one process with API and conductor needs no message bus
      rpc_transport: 'none',
      state_path: `${directory}/state`,
      log_dir: `${directory}/log`,
      tempdir: `${directory}/state`,
      force_raw_images: 'False',
      enabled_hardware_types: 'manual-management,fake-hardware',
      enabled_boot_interfaces: 'ipxe,fake',
      enabled_deploy_interfaces: 'direct',
      enabled_inspect_interfaces: 'no-inspect',
      enabled_management_interfaces: 'noop,fake',
      enabled_network_interfaces: 'noop',
      default_network_interface: 'noop',
      enabled_power_interfaces: 'agent,fake',
      enabled_raid_interfaces: 'no-raid,agent',
      enabled_rescue_interfaces: 'no-rescue,agent',
      enabled_storage_interfaces: 'noop',
      enabled_vendor_interfaces: 'no-vendor,fake',
      enabled_bios_interfaces: 'no-bios',
      enabled_firmware_interfaces: 'no-firmware',
      enabled_console_interfaces: 'no-console',
    },
    api: {
      host_ip: host,
      port,
      api_workers: 1,
      public_endpoint: `http://${host}:${port}`,
    },
    database: { connection: `sqlite:///${directory}/state/ironic.sqlite` },
    dhcp: { dhcp_provider: 'none' },
    service_catalog: { auth_type: 'none', endpoint_override: `http://${host}:${port}` },
    agent: {
      require_tls: requireTls ? 'True' : 'False',
      image_download_source: 'http',
      certificates_path: `${directory}/certs`,
      deploy_logs_local_path: `${directory}/deploylogs`,
      command_wait_interval: 1,
      post_deploy_get_power_state_retries: 1,
      post_deploy_get_power_state_retry_interval: 1,
    },
    conductor: { automated_clean: 'False', sync_power_state_interval: 0 },
    deploy: { http_url: filesUrl, http_root: `${directory}/httpboot`, default_boot_mode: 'uefi' },
    pxe: {
      tftp_root: `${directory}/tftpboot`,
      tftp_master_path: `${directory}/tftpboot/master_images`,
      images_path: `${directory}/images/`,
      instance_master_path: `${directory}/master`,
    },
    oslo_concurrency: { lock_path: `${directory}/state` },
    oslo_messaging_notifications: { driver: 'noop' },
    json_rpc: { auth_strategy: 'noauth', host_ip: host },
  }
  const names = new Set([...Object.keys(usual), ...Object.keys(settings)])
  return [...names]
    .map(
      (name) =>
        `[${name}]\n${Object.entries({ ...usual[name], ...settings[name] })
          .map(([key, value]) => `${key} = ${value}\n`)
          .join('')}`,
    )
    .join('\n')
}
