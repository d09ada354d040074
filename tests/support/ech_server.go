// A TLS server with Encrypted ClientHello, by Go's own library: an implementation that is not ours.
//
// Arguments: certificate, key, ECHConfig in hex, its private key in hex. It says its port, and then
// for every handshake that went well the name it took and whether ECH was accepted.
package main

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"os"
)

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	stop(err)
	config, err := hex.DecodeString(os.Args[3])
	stop(err)
	private, err := hex.DecodeString(os.Args[4])
	stop(err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates:             []tls.Certificate{certificate},
		NextProtos:               []string{"h2", "http/1.1"},
		EncryptedClientHelloKeys: []tls.EncryptedClientHelloKey{{Config: config, PrivateKey: private}},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			fmt.Println("name", hello.ServerName)
			return nil, nil
		},
	})
	stop(err)
	fmt.Println("port", listener.Addr().String()[len("127.0.0.1:"):])
	for {
		connection, err := listener.Accept()
		stop(err)
		go connection.(*tls.Conn).Handshake()
	}
}

func stop(err error) {
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}
