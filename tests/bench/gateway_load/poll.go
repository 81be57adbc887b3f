package main

import (
	"errors"
	"net"
	"syscall"
	"time"
	"unsafe"
)

const (
	epollPwait2 = 441 // the same number on every architecture; its timeout is in nanoseconds
	readSize    = 64 << 10
)

// peer is one connection: what did not fit its send buffer waits in out, of which the first bytes are sent meanwhile.
type peer struct {
	fd      int
	out     []byte
	sent    int
	message message
}

type poller struct {
	fd     int
	events [512]syscall.EpollEvent
	buffer [readSize]byte
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	return &poller{fd: fd}, err
}

func (p *poller) watch(fd int, operation int, events uint32) error {
	return syscall.EpollCtl(p.fd, operation, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

// wait returns what is ready, at the latest at the deadline (nanoseconds since 1970; 0: none).
func (p *poller) wait(deadline int64) ([]syscall.EpollEvent, error) {
	var timeout *syscall.Timespec
	if deadline != 0 {
		left := syscall.NsecToTimespec(max(0, deadline-now()))
		timeout = &left
	}
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(timeout)), 0, 0)
	if errno == syscall.EINTR {
		return nil, nil
	}
	if errno != 0 {
		return nil, errno
	}
	return p.events[:n], nil
}

// read returns what has come: nil where nothing has, io's end as an error.
func (p *poller) read(fd int) ([]byte, error) {
	n, err := syscall.Read(fd, p.buffer[:])
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil, nil
	case err != nil:
		return nil, err
	case n == 0:
		return nil, errClosed
	}
	return p.buffer[:n], nil
}

var errClosed = errors.New("the connection was closed")

// send writes what fits now and the rest when there is room (see flush).
func (p *poller) send(to *peer, data []byte) error {
	if len(to.out) > 0 {
		to.out = append(to.out, data...)
		return nil
	}
	n, err := syscall.Write(to.fd, data)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		return err
	}
	n = max(n, 0)
	if n == len(data) {
		return nil
	}
	to.out = append(to.out, data[n:]...)
	return p.watch(to.fd, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN|syscall.EPOLLOUT)
}

func (p *poller) flush(to *peer) error {
	n, err := syscall.Write(to.fd, to.out[to.sent:])
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		return err
	}
	to.sent += max(n, 0)
	if to.sent < len(to.out) {
		return nil
	}
	to.out, to.sent = to.out[:0], 0
	return p.watch(to.fd, syscall.EPOLL_CTL_MOD, syscall.EPOLLIN)
}

func now() int64 { return time.Now().UnixNano() }

func listen(address string) (int, int, error) {
	target, err := resolve(address)
	if err != nil {
		return 0, 0, err
	}
	fd, err := socket()
	if err != nil {
		return 0, 0, err
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(fd, target); err != nil {
		return 0, 0, err
	}
	if err := syscall.Listen(fd, 4096); err != nil {
		return 0, 0, err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, 0, err
	}
	return fd, bound.(*syscall.SockaddrInet4).Port, nil
}

// connect returns a connection that stands.
func connect(address string) (int, error) {
	target, err := resolve(address)
	if err != nil {
		return 0, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, target); err != nil {
		syscall.Close(fd)
		return 0, err
	}
	return fd, prepared(fd)
}

func prepared(fd int) error {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return err
	}
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}

func socket() (int, error) {
	return syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
}

func resolve(address string) (*syscall.SockaddrInet4, error) {
	found, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	target := &syscall.SockaddrInet4{Port: found.Port}
	copy(target.Addr[:], found.IP.To4())
	return target, nil
}
