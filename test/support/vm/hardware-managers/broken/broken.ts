// SPDX-License-Identifier: Apache-2.0
// A hardware manager of tests that cannot be loaded; in a folder of its own, which an option has to name.
export const apiVersion = 1

throw new Error('the maker left something out')
