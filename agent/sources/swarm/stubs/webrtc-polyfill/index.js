// Stands in for webrtc-polyfill, whose native part cannot be installed without a download from
// outside the registry. webtorrent reads undefined as "no WebRTC here"; a ramdisk needs none.
export const RTCPeerConnection = undefined
export const RTCSessionDescription = undefined
export const RTCIceCandidate = undefined
