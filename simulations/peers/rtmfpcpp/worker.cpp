// A worker of the comparison on the library rtmfp-cpp: one end of a bulk
// transfer, as worker.go is on the other peers. Command peers compiles it
// against a checkout that it is given, in which the library was built.
//
//	worker receive              prints its address, then, when something comes on stdin, what came
//	worker send ADDR BYTES SEC  sends BYTES, or for SEC if BYTES is 0
//
// Packets are protected as rtmfp-legacy's are: AES-128-CBC, HMAC of 16 bytes,
// and sequence numbers (RFC 7425 §4.6.3 to §4.6.5).

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <chrono>
#include <sys/resource.h>
#include <unistd.h>

#include "rtmfp/FlashCryptoAdapter_OpenSSL.hpp"
#include "rtmfp/PosixPlatformAdapter.hpp"
#include "rtmfp/RunLoops.hpp"

using namespace com::zenomt;
using namespace com::zenomt::rtmfp;

namespace {

const size_t messageSize = 64 << 10;

// Buffers of flows in bytes: those of the library's own example server.
const size_t sendBuffer = 2 << 20;
const size_t receiveBuffer = 16 << 20;

double now() {
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double cpu() {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

// End is an endpoint on a socket of 127.0.0.1.
struct End {
	PreferredRunLoop loop;
	PosixPlatformAdapter platform{&loop};
	FlashCryptoAdapter_OpenSSL crypto;
	std::shared_ptr<RTMFP> rtmfp;
	std::shared_ptr<Address> address;

	explicit End(bool server) {
		if(!crypto.init(server, nullptr))
			fail("keys");
		crypto.setHMACSendAlways(true);
		crypto.setHMACRecvRequired(true);
		crypto.setSSeqSendAlways(true);
		crypto.setSSeqRecvRequired(true);
		rtmfp = share_ref(new RTMFP(&platform, &crypto), false);
		platform.setRtmfp(rtmfp.get());
		Address any;
		any.setFromPresentation("127.0.0.1:0");
		address = platform.addUdpInterface(any.getSockaddr());
		if(!address)
			fail("socket");
	}

	[[noreturn]] static void fail(const char *why) {
		fprintf(stderr, "rtmfp-cpp: %s\n", why);
		exit(1);
	}
};

int receive() {
	End end(true);
	double opened = 0, cpuOpened = 0, cpuUsed = 0;
	unsigned long long bytes = 0, first = 0;
	int sessions = 0;
	end.rtmfp->onRecvFlow = [&] (std::shared_ptr<RecvFlow> flow) {
		sessions++;
		opened = now();
		cpuOpened = cpu();
		flow->setBufferCapacity(receiveBuffer);
		flow->onMessage = [&] (const uint8_t *, size_t n, uintmax_t, size_t) {
			bytes += n;
			if(now() - opened <= 1)
				first = bytes;
		};
		flow->onComplete = [&, flow] (bool) { cpuUsed = cpu() - cpuOpened; };
		flow->accept();
	};
	end.loop.registerDescriptor(STDIN_FILENO, RunLoop::READABLE, [&] {
		end.loop.stop();
	});
	printf("%s\n", end.address->toPresentation().c_str());
	fflush(stdout);
	end.loop.run();
	printf("{\"bytes\":%llu,\"first_second_bytes\":%llu,\"cpu_seconds\":%.6f,\"sessions\":%d}\n", bytes, first, cpuUsed, sessions);
	return 0;
}

int send(const char *to, unsigned long long limit, double seconds) {
	End end(false);
	Address far;
	if(!far.setFromPresentation(to))
		End::fail("address");
	Bytes message(messageSize), name{'b', 'e', 'n', 'c', 'h'};
	for(size_t i = 0; i < messageSize; i++)
		message[i] = uint8_t(i * 7);
	unsigned long long bytes = 0, under = 0;
	double began = 0, cpuBegan = 0;
	bool finished = false;

	auto flow = end.rtmfp->openFlow(FlashCryptoAdapter::makeEPD(nullptr, "rtmfp:", nullptr), name);
	auto done = [&] {
		printf("{\"bytes\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n", bytes, now() - began, cpu() - cpuBegan);
		fflush(stdout);
		end.rtmfp->shutdown(false); // the receiver may learn of the end
		end.loop.scheduleRel(Timer::makeAction([&] { end.loop.stop(); }), 0.1, 0);
	};
	flow->setBufferCapacity(sendBuffer);
	flow->onException = [] (uintmax_t) { End::fail("the session or the flow failed"); };
	flow->onWritable = [&] {
		if(began == 0) {
			began = now();
			cpuBegan = cpu();
		}
		size_t n = messageSize;
		if(limit > 0 && limit - bytes < n)
			n = limit - bytes;
		bytes += n;
		under++;
		flow->write(message.data(), n)->onFinished = [&] (bool) {
			if(--under == 0 && finished)
				done();
		};
		finished = limit > 0 ? bytes >= limit : now() - began >= seconds;
		if(!finished)
			return true;
		flow->close();
		return false;
	};
	flow->addCandidateAddress(far);
	flow->notifyWhenWritable();
	end.loop.run();
	return 0;
}

} // namespace

int main(int argc, char **argv) {
	if(argc == 2 && !strcmp(argv[1], "receive"))
		return receive();
	if(argc == 5 && !strcmp(argv[1], "send"))
		return send(argv[2], strtoull(argv[3], nullptr, 10), atof(argv[4]));
	End::fail("usage: worker receive | worker send ADDR BYTES SEC");
}
