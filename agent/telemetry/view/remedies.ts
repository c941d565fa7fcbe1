// SPDX-License-Identifier: Apache-2.0
// Owns what somebody who sees an error should do first, a short sentence for each type. docs/errors.md says more.
import type { ErrorType } from '../../core/errors.ts'

const REMEDIES: Readonly<Record<ErrorType, string>> = {
  InvalidCommandError: 'The conductor is newer than this agent, or a step has a typing error.',
  InvalidCommandParamsError: "Correct instance_info or the step's arguments.",
  Unauthorized: 'Reboot the node through Ironic, so that it gets a new token.',
  RequestedObjectNotFoundError: 'Nothing to do here: Ironic asked for what there is not.',
  DeviceNotFound: "Compare the node's root device hints with the disks below.",
  ImageDownloadTimeoutError: 'Find out why the image server is slow, or raise its limit.',
  AgentIsBusy: 'Wait: Ironic tries again by itself.',
  VersionMismatch: 'Start over: the node booted another ramdisk between two steps.',
  CommandExecutionError: 'Read the log of the agent; the log bundle has it too.',
  ContainerNotPermittedError: 'Add the container image to allowed_containers.',
  ImageDownloadError: 'Check that this node reaches the image server, and the url of the image.',
  ImageDownloadFatalError: "Check the image's url and who may read it.",
  ImageChecksumError: 'Compare image_os_hash_value with the file on the server.',
  ImageWriteError: 'Look at the kernel log: the disk refuses writes or hangs.',
  InvalidImage: 'Check format and size of the image, and the disk it is to go to.',
  SystemRebootError: 'Switch the power by the BMC.',
  BlockDeviceError: 'Look at the kernel log: the disk gives no or odd answers.',
  BlockDeviceEraseError: 'Replace the disk that is named, or unlock it in the firmware.',
  ProtectedDeviceError: 'Name the disk in properties.skip_block_devices if it is to be kept.',
  SoftwareRAIDError: 'Correct target_raid_config; what was begun has been taken back.',
  CleaningError: 'Read the details, then clean the node again.',
  DeploymentError: 'Check the config drive and the partition table of the image.',
  ServicingError: 'Read the details, then service the node again.',
  HardwareManagerNotFound: 'Build a ramdisk with a hardware manager for this machine.',
  HardwareManagerMethodNotFound: 'Build a ramdisk with the hardware manager that has this step.',
  HardwareManagerConfigurationError: 'Mend the hardware manager that is named.',
  IncompatibleHardwareMethodError: 'Nothing to do: the next hardware manager is tried.',
  ClockSyncError: 'Check that this node reaches the NTP server.',
  InspectionError: 'Check the inspection URL; the agent goes on without.',
  LookupNodeError: "Check the MAC addresses of the node's ports, and its state in Ironic.",
  LookupAgentIPError: 'Set ipa-advertise-host: this node finds no route to Ironic.',
  IronicAPIError: 'Check that this node reaches the API of Ironic.',
  HeartbeatError: 'Read the log of the conductor: it refuses the heartbeat.',
  HeartbeatConflictError: 'Wait: the conductor has locked the node.',
  HeartbeatConnectionError: 'Check that this node reaches the API of Ironic.',
  InvalidConfigError: 'Correct the setting that is named.',
  TargetInUseError: 'Free the disk, or choose another one.',
  ReadBackMismatchError: 'Suspect the disk, its cable or its controller.',
  InvalidMetainfoError: 'Make the .torrent anew from this very image.',
  SwarmError: 'Check trackers and the network between nodes; the image comes by HTTP.',
  SwarmStalledError: 'Check trackers and the network between nodes; the image comes by HTTP.',
  ProcessError: 'Read the words of the program in the details.',
  CancelledError: 'Nothing: it was cancelled.',
}

/** Undefined for a type that is none of ours. */
export function remedyOf(type: string): string | undefined {
  return Object.hasOwn(REMEDIES, type) ? REMEDIES[type as ErrorType] : undefined
}
