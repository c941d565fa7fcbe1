// SPDX-License-Identifier: Apache-2.0
// Owns the form of the failure matrix of image deploys: what is wrong, and what must come of it. The runner
// (failures.test.ts) adds what holds for every failure: nothing on the disk boots, nothing stays open.
import type { ErrorType } from '../../../agent/core/errors.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import type { DeployLab, DeployLabOptions, DeployTestOptions } from '../image/deploy-lab.ts'

/** What a case changes before the deploy, and what it takes back afterwards. */
export interface Arrangement extends DeployTestOptions {
  /** Fields of image_info. */
  readonly fields?: JsonObject
  readonly undo?: () => PromiseLike<void>
  /** Another target than the lab's disk. */
  readonly devicePath?: string
}

export interface FailureCase {
  readonly name: string
  readonly lab?: DeployLabOptions
  readonly arrange: (lab: DeployLab) => Arrangement | Promise<Arrangement>
  readonly error: ErrorType
  readonly details: RegExp
  /** Refused before the disk was touched: what was on it is still there. */
  readonly isUntouched?: boolean
}
