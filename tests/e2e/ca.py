# SPDX-License-Identifier: Apache-2.0
"""A certificate authority of the tests' own, by the openssl command."""
import os, ssl, subprocess


class CA:
    def __init__(self, directory):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.certificate = self.path("ca.pem")
        self._openssl("req", "-x509", *self._new_key("ca"), "-days", "30", "-subj", "/CN=Test CA", "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.directory, name)

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=self.directory)

    def _new_key(self, name, kind="ec"):
        how = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"], "weak": ["rsa:1024"]}[kind]
        return ["-newkey", *how, "-nodes", "-keyout", self.path(name + ".key")]

    def issue(self, name, days=30, kind="ec"):
        """A certificate for localhost; returns the paths of certificate and key.  days may be negative: it has expired."""
        with open(self.path("san"), "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("req", *self._new_key(name, kind), "-subj", f"/CN={name}", "-out", self.path(name + ".csr"))
        self._openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-extfile", "san", "-days", str(days), "-out", name + ".pem")
        return self.path(name + ".pem"), self.path(name + ".key")

    def issue_from(self, name, start):
        """One that is valid from then on (YYYYMMDDHHMMSSZ) for a year."""
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={name}", "-out", name + ".csr")
        with open(self.path("ca.conf"), "w") as f:
            f.write("[ca]\ndefault_ca=x\n[x]\ndatabase=index\nserial=number\nnew_certs_dir=.\npolicy=p\ndefault_md=sha256\n"
                    "[p]\ncommonName=supplied\n")
        for file, text in (("index", ""), ("number", "7001\n")):
            with open(self.path(file), "w") as f:
                f.write(text)
        self._openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", name + ".csr",
                      "-startdate", start, "-days", "365", "-out", name + ".pem")
        return self.path(name + ".pem"), self.path(name + ".key")

    def trusting(self, **attributes):
        """A client's context that trusts this authority and nobody else."""
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.load_verify_locations(self.certificate)
        for name, value in attributes.items():
            setattr(c, name, value)
        return c


def tls(pair, **more):
    """The setting `tls` of a listener."""
    return {"certificate": f"file:{pair[0]}", "key": f"file:{pair[1]}", **more}
