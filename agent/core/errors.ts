// SPDX-License-Identifier: Apache-2.0
// Owns every error class of the agent: the name Ironic sees, the HTTP status, and how to go on.
// Does not log and does not retry; core/backoff.ts decides from `kind` alone.

/**
 * What the catcher should do:
 * `transient` retry the same source · `source` go to the next source ·
 * `fatal` stop and report · `operator` bad input: the message says what to change.
 */
export type ErrorKind = 'transient' | 'source' | 'fatal' | 'operator'

/** `command_error` on the wire (contract 4.4 a). */
export interface WireError {
  readonly type: string
  readonly code: number
  readonly message: string
  readonly details: string
}

interface ErrorRow {
  readonly status: number
  readonly kind: ErrorKind
  /** Short text for `message`; the facts go to `details`. */
  readonly message: string
}

/**
 * The one table of error types. Names and statuses are ironic-python-agent's (contract 4.4), because
 * the conductor and operators read `type`; the last block is ours. docs/errors.md is tested against it.
 */
export const ERROR_TABLE = {
  InvalidCommandError: { status: 400, kind: 'operator', message: 'Invalid command' },
  InvalidCommandParamsError: {
    status: 400,
    kind: 'operator',
    message: 'Invalid command parameters',
  },
  Unauthorized: { status: 401, kind: 'operator', message: '401 Unauthorized' },
  RequestedObjectNotFoundError: { status: 404, kind: 'operator', message: 'Not found' },
  DeviceNotFound: {
    status: 404,
    kind: 'fatal',
    message: 'Error finding the disk or partition device',
  },
  ImageDownloadTimeoutError: { status: 408, kind: 'fatal', message: 'Image download timed out' },
  AgentIsBusy: { status: 409, kind: 'operator', message: 'Agent is busy' },
  VersionMismatch: { status: 409, kind: 'fatal', message: 'Hardware managers version mismatch' },
  CommandExecutionError: { status: 500, kind: 'fatal', message: 'Command execution failed' },
  ContainerNotPermittedError: {
    status: 500,
    kind: 'operator',
    message: 'Container image not permitted',
  },
  ImageDownloadError: { status: 500, kind: 'source', message: 'Error downloading image' },
  ImageDownloadFatalError: { status: 500, kind: 'fatal', message: 'Error downloading image' },
  ImageChecksumError: { status: 500, kind: 'fatal', message: 'Error verifying image checksum' },
  ImageWriteError: { status: 500, kind: 'fatal', message: 'Error writing image to device' },
  InvalidImage: { status: 500, kind: 'fatal', message: 'Error with the image' },
  SystemRebootError: { status: 500, kind: 'fatal', message: 'Error rebooting system' },
  BlockDeviceError: { status: 500, kind: 'fatal', message: 'Block device caused unknown error' },
  BlockDeviceEraseError: { status: 500, kind: 'fatal', message: 'Error erasing block device' },
  ProtectedDeviceError: { status: 500, kind: 'fatal', message: 'Protected device located' },
  SoftwareRAIDError: { status: 500, kind: 'fatal', message: 'Software RAID caused unknown error' },
  CleaningError: { status: 500, kind: 'fatal', message: 'Clean step failed' },
  DeploymentError: { status: 500, kind: 'fatal', message: 'Deploy step failed' },
  ServicingError: { status: 500, kind: 'fatal', message: 'Service step failed' },
  HardwareManagerNotFound: {
    status: 500,
    kind: 'fatal',
    message: 'No valid HardwareManager found',
  },
  HardwareManagerMethodNotFound: {
    status: 500,
    kind: 'fatal',
    message: 'No HardwareManager found to handle method',
  },
  HardwareManagerConfigurationError: {
    status: 500,
    kind: 'operator',
    message: 'Hardware manager configuration error',
  },
  IncompatibleHardwareMethodError: {
    status: 500,
    kind: 'fatal',
    message: 'HardwareManager method is not compatible with hardware',
  },
  ClockSyncError: { status: 500, kind: 'fatal', message: 'Error syncing system clock' },
  InspectionError: { status: 500, kind: 'transient', message: 'Error during inspection' },
  LookupNodeError: {
    status: 500,
    kind: 'transient',
    message: 'Error getting configuration from Ironic',
  },
  LookupAgentIPError: {
    status: 500,
    kind: 'fatal',
    message: 'Error finding the address to advertise',
  },
  IronicAPIError: { status: 500, kind: 'transient', message: 'Error in call to ironic-api' },
  HeartbeatError: { status: 500, kind: 'transient', message: 'Error heartbeating to agent API' },
  HeartbeatConflictError: {
    status: 500,
    kind: 'transient',
    message: 'Conflict heartbeating to agent API',
  },
  HeartbeatConnectionError: {
    status: 500,
    kind: 'transient',
    message: 'Error connecting to agent API',
  },
  // ironswarm's own
  InvalidConfigError: { status: 500, kind: 'operator', message: 'Invalid configuration' },
  TargetInUseError: { status: 500, kind: 'operator', message: 'Target device is in use' },
  ReadBackMismatchError: {
    status: 500,
    kind: 'fatal',
    message: 'Disk does not hold the image that was written',
  },
  InvalidMetainfoError: { status: 500, kind: 'source', message: 'Invalid torrent metainfo' },
  SwarmError: { status: 500, kind: 'source', message: 'Error downloading from the swarm' },
  SwarmStalledError: { status: 500, kind: 'source', message: 'Swarm download stalled' },
  ProcessError: { status: 500, kind: 'fatal', message: 'External command failed' },
  CancelledError: { status: 500, kind: 'fatal', message: 'Cancelled' },
} as const satisfies Record<string, ErrorRow>

/** The `type` of an error on the wire. */
export type ErrorType = keyof typeof ERROR_TABLE

/** An error of a known type. `details` holds the numbers and the next thing to try. */
export class AgentError extends Error {
  readonly type: ErrorType
  readonly status: number
  readonly kind: ErrorKind
  readonly details: string

  /**
   * @param type row of {@link ERROR_TABLE}
   * @param details what happened, with the numbers, and what to do about it; never a secret
   * @param options `cause` is the error underneath; `kind` overrides the row (a 404 image url is
   *   `source` where a 503 is `transient`)
   */
  constructor(
    type: ErrorType,
    details: string,
    options: { cause?: unknown; kind?: ErrorKind } = {},
  ) {
    const row: ErrorRow = ERROR_TABLE[type]
    super(`${row.message}: ${details}`, options.cause === undefined ? {} : { cause: options.cause })
    this.name = type
    this.type = type
    this.status = row.status
    this.kind = options.kind ?? row.kind
    this.details = details
  }

  /** The form Ironic reads in `command_error` (contract 4.4 a). */
  toWire(): WireError {
    return {
      type: this.type,
      code: this.status,
      message: ERROR_TABLE[this.type].message,
      details: this.details,
    }
  }
}

/** True for an AgentError of this type. */
export function isAgentError(error: unknown, type?: ErrorType): error is AgentError {
  return error instanceof AgentError && (type === undefined || error.type === type)
}

/** Any thrown value as an AgentError: foreign exceptions become CommandExecutionError (contract 4.4 a). */
export function toAgentError(
  error: unknown,
  type: ErrorType = 'CommandExecutionError',
): AgentError {
  if (error instanceof AgentError) return error
  return new AgentError(type, messageOf(error), { cause: error })
}

/** The text of any thrown value. */
export function messageOf(error: unknown): string {
  if (error instanceof AgentError) return error.message
  if (error instanceof Error) {
    const { message, cause } = error
    // many a message quotes its cause
    const isNews = cause instanceof Error && !message.includes(cause.message)
    return isNews ? `${message} (${cause.message})` : message
  }
  return String(error)
}

/** Like {@link messageOf}, without the words that only say the type: for a sentence that says it already. */
export function detailsOf(error: unknown): string {
  return error instanceof AgentError ? error.details : messageOf(error)
}

/** The `code` of a Node system error (`ENOSPC`, `ECONNRESET`), looking through `cause`. */
export function systemErrorCode(error: unknown): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as NodeJS.ErrnoException
    if (typeof code === 'string') return code
  }
  return undefined
}
