import numpy as np
import torch
import torch.nn as nn

d_model, d_ff, d_k, d_v, n_layers, n_heads = 32, 128, 8, 8, 2, 4


def get_sinusoid_table(n_position, d_model):
    def angle(pos, j):
        return pos / np.power(10000, 2 * (j // 2) / d_model)

    table = np.array([[angle(p, j) for j in range(d_model)] for p in range(n_position)])
    table[:, 0::2] = np.sin(table[:, 0::2])
    table[:, 1::2] = np.cos(table[:, 1::2])
    return torch.FloatTensor(table)


class ScaledDotProductAttention(nn.Module):
    def forward(self, Q, K, V, attn_bias):
        scores = torch.matmul(Q, K.transpose(-1, -2)) / np.sqrt(d_k)
        scores = scores + attn_bias
        attn = nn.Softmax(dim=-1)(scores)
        return torch.matmul(attn, V), attn


class MultiHeadAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.W_Q = nn.Linear(d_model, d_k * n_heads)
        self.W_K = nn.Linear(d_model, d_k * n_heads)
        self.W_V = nn.Linear(d_model, d_v * n_heads)
        self.linear = nn.Linear(n_heads * d_v, d_model)
        self.layer_norm = nn.LayerNorm(d_model)

    def forward(self, Q, K, V, attn_bias):
        residual, batch_size = Q, Q.size(0)
        q_s = self.W_Q(Q).view(batch_size, -1, n_heads, d_k).transpose(1, 2)
        k_s = self.W_K(K).view(batch_size, -1, n_heads, d_k).transpose(1, 2)
        v_s = self.W_V(V).view(batch_size, -1, n_heads, d_v).transpose(1, 2)
        attn_bias = attn_bias.unsqueeze(1).repeat(1, n_heads, 1, 1)
        context, attn = ScaledDotProductAttention()(q_s, k_s, v_s, attn_bias)
        context = context.transpose(1, 2).contiguous().view(batch_size, -1, n_heads * d_v)
        output = self.linear(context)
        return self.layer_norm(output + residual), attn


class PoswiseFeedForwardNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels=d_model, out_channels=d_ff, kernel_size=1)
        self.conv2 = nn.Conv1d(in_channels=d_ff, out_channels=d_model, kernel_size=1)
        self.layer_norm = nn.LayerNorm(d_model)

    def forward(self, inputs):
        n, t, c = inputs.shape
        flat = inputs.reshape(n * t, c, 1)  # every position is an example of length 1
        output = nn.ReLU()(self.conv1(flat))
        output = self.conv2(output).reshape(n, t, c)
        return self.layer_norm(output + inputs)


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc_self_attn = MultiHeadAttention()
        self.pos_ffn = PoswiseFeedForwardNet()

    def forward(self, x, bias):
        x, attn = self.enc_self_attn(x, x, x, bias)
        return self.pos_ffn(x), attn


class DecoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.dec_self_attn = MultiHeadAttention()
        self.dec_enc_attn = MultiHeadAttention()
        self.pos_ffn = PoswiseFeedForwardNet()

    def forward(self, y, x, self_bias, enc_bias):
        y, a1 = self.dec_self_attn(y, y, y, self_bias)
        y, a2 = self.dec_enc_attn(y, x, x, enc_bias)
        return self.pos_ffn(y), a1, a2


def pad_bias(seq_q, seq_k, dtype):
    b = torch.zeros(seq_k.size(0), 1, seq_k.size(1), dtype=dtype)
    b[(seq_k == 0).unsqueeze(1)] = -1e9
    return b.expand(seq_q.size(0), seq_q.size(1), seq_k.size(1))


def subsequent_bias(seq, dtype):
    upper = np.triu(np.ones([seq.size(0), seq.size(1), seq.size(1)]), k=1)
    return torch.from_numpy(upper).to(dtype) * -1e9


class Transformer(nn.Module):
    def __init__(self, src_vocab_size, tgt_vocab_size, max_len=64):
        super().__init__()
        self.src_emb = nn.Embedding(src_vocab_size, d_model)
        self.tgt_emb = nn.Embedding(tgt_vocab_size, d_model)
        self.pos_emb = nn.Embedding.from_pretrained(
            get_sinusoid_table(max_len, d_model), freeze=True
        )
        self.enc_layers = nn.ModuleList([EncoderLayer() for _ in range(n_layers)])
        self.dec_layers = nn.ModuleList([DecoderLayer() for _ in range(n_layers)])
        self.projection = nn.Linear(d_model, tgt_vocab_size, bias=False)

    def forward(self, enc_inputs, dec_inputs):
        scale = d_model**0.5
        x = self.src_emb(enc_inputs) * scale + self.pos_emb(torch.arange(enc_inputs.size(1))[None])
        dt = x.dtype
        enc_self_attns, dec_self_attns, dec_enc_attns = [], [], []
        bias = pad_bias(enc_inputs, enc_inputs, dt)
        for layer in self.enc_layers:
            x, a = layer(x, bias)
            enc_self_attns.append(a)
        y = self.tgt_emb(dec_inputs) * scale + self.pos_emb(torch.arange(dec_inputs.size(1))[None])
        self_bias = subsequent_bias(dec_inputs, dt)
        cross_bias = pad_bias(dec_inputs, enc_inputs, dt)
        for layer in self.dec_layers:
            y, a, b = layer(y, x, self_bias, cross_bias)
            dec_self_attns.append(a)
            dec_enc_attns.append(b)
        logits = self.projection(y)
        return logits.view(-1, logits.size(-1)), enc_self_attns, dec_self_attns, dec_enc_attns


def build():
    torch.manual_seed(7)
    return Transformer(33, 37)
