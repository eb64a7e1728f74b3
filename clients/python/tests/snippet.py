"""The program of the published documents; only the constructor is ours."""

from warmline import Warmline

client = Warmline()

# Request and warm an IP
ip = client.dedicated_ips.create()
ip = client.dedicated_ips.start_warmup(ip["id"])

# Create a pool and assign the IP
pool = client.dedicated_ips.create_pool(name="Transactional", is_default=True)
client.dedicated_ips.add_ip_to_pool(pool["id"], ip_id=ip["id"])

# Check warming progress
ip = client.dedicated_ips.get(ip["id"])
print(f"Progress: {ip['warmup']['progress'] * 100}%")
