//go:build !purego

#include "textflag.h"

// func fillSSE2(m *bitmap, text *[stripe]byte, p *pattern)
//
// Every amd64 has SSE2, so nothing has to be asked first.
TEXT ·fillSSE2(SB), NOSPLIT, $0-24
	MOVQ m+0(FP), DI
	MOVQ text+8(FP), SI
	MOVQ p+16(FP), AX
	MOVQ 0(AX), X0  // comma
	MOVQ 8(AX), X1  // quote
	MOVQ 16(AX), X2 // lineFeed
	PUNPCKLQDQ X0, X0
	PUNPCKLQDQ X1, X1
	PUNPCKLQDQ X2, X2
	XORQ CX, CX

words:
	MOVOU (SI)(CX*8), X3
	MOVOU 16(SI)(CX*8), X6
	MOVO X3, X4
	MOVO X3, X5
	MOVO X6, X7
	MOVO X6, X8
	PCMPEQB X0, X3
	PCMPEQB X2, X4
	PCMPEQB X1, X5
	PCMPEQB X0, X6
	PCMPEQB X2, X7
	PCMPEQB X1, X8
	POR X4, X3
	POR X7, X6
	PMOVMSKB X3, AX
	PMOVMSKB X5, BX
	PMOVMSKB X6, R8
	PMOVMSKB X8, R9
	SHLQ $16, R8
	SHLQ $16, R9
	ORQ R8, AX
	ORQ R9, BX
	MOVL AX, (DI)(CX*1)
	MOVL BX, 512(DI)(CX*1)
	ADDQ $4, CX
	CMPQ CX, $512
	JB words
	RET
