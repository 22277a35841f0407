package multicast

// minSpan is the number of fragment ids that a window or a map tracks at first.
const minSpan = 1024
