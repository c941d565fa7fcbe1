// SPDX-License-Identifier: Apache-2.0
// Owns what a test file of the project `bundle` finds: the bundle's folder, for itself and for the
// processes and threads it starts.
import { inject } from 'vitest'

process.env['BUNDLE_UNDER_TEST'] = inject('bundle')
