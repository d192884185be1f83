//go:build !purego

#include "textflag.h"

// func fillSSE2(m *bitmap, text *[stripe]byte, p *pattern)
//
// Every amd64 has SSE2.
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

// func cpuid(leaf, sub uint32) (a, b, c, d uint32)
TEXT ·cpuid(SB), NOSPLIT, $0-24
	MOVL leaf+0(FP), AX
	MOVL sub+4(FP), CX
	CPUID
	MOVL AX, a+8(FP)
	MOVL BX, b+12(FP)
	MOVL CX, c+16(FP)
	MOVL DX, d+20(FP)
	RET

// func xgetbv() uint32
TEXT ·xgetbv(SB), NOSPLIT, $0-4
	XORL CX, CX
	XGETBV
	MOVL AX, ret+0(FP)
	RET

// func fillAVX2(m *bitmap, text *[stripe]byte, p *pattern)
TEXT ·fillAVX2(SB), NOSPLIT, $0-24
	MOVQ m+0(FP), DI
	MOVQ text+8(FP), SI
	MOVQ p+16(FP), AX
	VPBROADCASTQ 0(AX), Y0
	VPBROADCASTQ 8(AX), Y1
	VPBROADCASTQ 16(AX), Y2
	XORQ CX, CX

words:
	VMOVDQU (SI)(CX*8), Y3
	VMOVDQU 32(SI)(CX*8), Y6
	VPCMPEQB Y0, Y3, Y4
	VPCMPEQB Y2, Y3, Y5
	VPCMPEQB Y1, Y3, Y3
	VPCMPEQB Y0, Y6, Y7
	VPCMPEQB Y2, Y6, Y8
	VPCMPEQB Y1, Y6, Y6
	VPOR Y4, Y5, Y4
	VPOR Y7, Y8, Y7
	VPMOVMSKB Y4, AX
	VPMOVMSKB Y7, BX
	VPMOVMSKB Y3, R8
	VPMOVMSKB Y6, R9
	MOVL AX, (DI)(CX*1)
	MOVL BX, 4(DI)(CX*1)
	MOVL R8, 512(DI)(CX*1)
	MOVL R9, 516(DI)(CX*1)
	ADDQ $8, CX
	CMPQ CX, $512
	JB words
	VZEROUPPER
	RET

#define NEXT(i) \
	TZCNTQ AX, BX; \
	BLSRQ AX, AX; \
	ADDL DX, BX; \
	MOVL BX, (i*4)(R8)

// func positionsBMI(off *uint32, words *uint64, n int, behind uint32) (count int)
TEXT ·positionsBMI(SB), NOSPLIT, $0-40
	MOVQ off+0(FP), DI
	MOVQ words+8(FP), SI
	MOVQ n+16(FP), CX
	MOVL behind+24(FP), DX
	LEAQ (SI)(CX*8), R9

word:
	MOVQ (SI), AX
	POPCNTQ AX, R10
	MOVQ DI, R8
	LEAQ (DI)(R10*4), DI

eight:
	NEXT(0)
	NEXT(1)
	NEXT(2)
	NEXT(3)
	NEXT(4)
	NEXT(5)
	NEXT(6)
	NEXT(7)
	ADDQ $32, R8
	CMPQ R8, DI
	JB eight
	ADDQ $8, SI
	ADDL $64, DX
	CMPQ SI, R9
	JB word
	SUBQ off+0(FP), DI
	SHRQ $2, DI
	MOVQ DI, count+32(FP)
	RET
