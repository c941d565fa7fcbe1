// Stands in for utp-native (uTP in C), so that no native code is built or loaded: swarms of the
// provisioning network speak TCP only. webtorrent never calls it with `utp: false`.
module.exports = {}
